/** Official clients behind nginx, HAProxy and Apache. The first two speak TLS and HTTP/2 with them and HTTP/1 with the real binary. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterEach, test } from "node:test";
import { LongPoll, Socket } from "phoenix";
import { Fetch, io } from "socket.io-client";
import WebSocket from "ws";
import { startBroker } from "../broker.mjs";
import { startApache, startHaproxy, startNginx } from "../proxies.mjs";
import { ok, until } from "./await.mjs";
import { connectHttp2 } from "./http2.mjs";

/** What each test has opened; closed after it, the last one first. */
const opened = [];
const open = (thing, close) => (opened.push(() => close(thing)), thing);

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

const broker = async (options) => open(await startBroker(options), (it) => it.kill());
const http2 = async (proxy, options) => open(await connectHttp2(proxy, options), ({ session }) => session.destroy());

/** A `phoenix` client with one WebSocket for each connection to the proxy: HTTP/1.1. */
function upgrading({ ca }, options = {}) {
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { ca, ...options });
    }
  };
}

function connect(proxy, transport, options = {}) {
  const socket = open(new Socket(proxy.socketUrl("socket"), { transport, ...options }), (it) => it.disconnect());
  socket.connect();
  return socket;
}

async function joinRoom(socket, name) {
  const channel = socket.channel(`room:${name}`, {});
  await ok(channel.join());
  return channel;
}

/** Each says short and long things to the other, in events of its own: others may be in the room. */
async function talk(a, b) {
  for (const [speaker, listener] of [[a, b], [b, a]]) {
    const event = randomUUID();
    const heard = [];
    listener.on(event, ({ text }) => heard.push(text));
    const sent = ["héllo 😀", "x".repeat(60_000), "é".repeat(20_000)];
    for (const text of sent) assert.deepEqual(await ok(speaker.push(event, { text })), {});
    await until(() => heard.length === sent.length, "all that was said");
    assert.deepEqual(heard, sent);
  }
}

/** Makes the clients' long polling, which calls `fetch`, use HTTP/2 until the test ends. */
function replaceFetch(fetch) {
  open(globalThis.fetch, (before) => (globalThis.fetch = before));
  globalThis.fetch = fetch;
}

/** The status with which an upgrade is answered. */
async function upgradeStatus({ socketUrl, ca }, options) {
  const socket = new WebSocket(`${socketUrl("socket")}/websocket?vsn=2.0.0`, { ca, ...options });
  const status = await new Promise((resolve, reject) => {
    socket.on("open", () => resolve(101)).on("error", reject);
    socket.on("unexpected-response", (_request, { statusCode }) => resolve(statusCode));
  });
  socket.on("error", () => {}).terminate();
  return status;
}

for (const [name, startProxy] of Object.entries({ nginx: startNginx, HAProxy: startHaproxy })) {
  const behind = async (port, ...more) => open(await startProxy(port, ...more), (it) => it.close());

  test(`${name}: phoenix.js, by WebSocket over HTTP/1.1 and by long polling over HTTP/2`, async () => {
    const proxy = await behind((await broker()).port);
    const { fetch, session } = await http2(proxy);
    assert.equal(session.alpnProtocol, "h2");
    replaceFetch(fetch);
    const sockets = [connect(proxy, upgrading(proxy)), connect(proxy, LongPoll), connect(proxy, LongPoll)];
    const [upgraded, polling, other] = await Promise.all(sockets.map((socket) => joinRoom(socket, "talk")));
    await talk(upgraded, polling);
    await talk(polling, other);
  });

  test(`${name}: socket.io-client, by WebSocket, polling and upgrade over HTTP/1.1, and polling over HTTP/2`, async () => {
    const proxy = await behind((await broker()).port);
    replaceFetch((await http2(proxy)).fetch);
    const ways = [["websocket"], ["polling"], ["polling", "websocket"], [Fetch]];
    const clients = ways.map((transports) =>
      open(io(proxy.url, { transports, ca: proxy.ca, forceNew: true, reconnection: false }), (it) => it.close()),
    );
    const kept = () => clients.map((socket) => socket.connected && socket.io.engine.transport.constructor.name);
    await until(() => kept()[2] === kept()[0] && kept().every(Boolean), "all to have connected, and one to have upgraded");
    for (const socket of clients) assert.deepEqual(await socket.emitWithAck("join", { room: "talk" }), {});
    for (const speaker of clients) {
      const others = clients.filter((socket) => socket !== speaker);
      const heard = Promise.all(others.map((socket) => new Promise((resolve) => socket.once("message", (...args) => resolve(args)))));
      speaker.emit("message", "é".repeat(20_000), Buffer.from([0, 1, 255]));
      for (const [text, bytes] of await heard) {
        assert.equal(text, "é".repeat(20_000));
        assert.deepEqual([...Buffer.from(bytes)], [0, 1, 255]);
      }
    }
  });

  test(`${name}: each client has its own address, whatever it says of itself`, async () => {
    const set = { "server.trusted_proxies": '["127.0.0.1"]', "limits.sockets_per_ip": 1 };
    const proxy = await behind((await broker({ set })).port);
    const from = (localAddress) => joinRoom(connect(proxy, upgrading(proxy, { localAddress })), "addresses");
    const first = await from("127.0.0.2");
    assert.equal(await upgradeStatus(proxy, { localAddress: "127.0.0.2" }), 429);
    const headers = { "X-Forwarded-For": "127.0.0.9" };
    assert.equal(await upgradeStatus(proxy, { localAddress: "127.0.0.2", headers }), 429);
    const polling = await http2(proxy, { localAddress: "127.0.0.3" });
    replaceFetch(polling.fetch);
    await talk(first, await joinRoom(connect(proxy, LongPoll), "addresses"));
    assert.equal(await upgradeStatus(proxy, { localAddress: "127.0.0.3" }), 429);
  });

  test(`${name}: without trust in the proxy, all clients have its address`, async () => {
    const proxy = await behind((await broker({ set: { "limits.sockets_per_ip": 1 } })).port);
    await joinRoom(connect(proxy, upgrading(proxy, { localAddress: "127.0.0.2" })), "addresses");
    assert.equal(await upgradeStatus(proxy, { localAddress: "127.0.0.3" }), 429);
  });

  test(`${name}: pages of the proxy's own host are let in, and no others`, async () => {
    const proxy = await behind((await broker()).port);
    await joinRoom(connect(proxy, upgrading(proxy, { origin: new URL(proxy.url).origin })), "origin");
    assert.equal(await upgradeStatus(proxy, { origin: "https://foreign.test" }), 403);
  });

  test(`${name}: the node answers to its public name, and to no other`, async () => {
    const named = { "server.public_urls": "https://broker.example" };
    const [known, unknown] = [await behind((await broker({ set: named })).port), await behind((await broker()).port)];
    const page = { headers: { Host: "broker.example" }, origin: "https://broker.example" };
    assert.equal(await upgradeStatus(known, page), 101);
    assert.equal(await upgradeStatus(known, { headers: { Host: "evil.example" } }), 421);
    assert.equal(await upgradeStatus(unknown, page), 421);
  });

  test(`${name}: clients come back after the broker was killed and restarted`, async () => {
    const first = await broker();
    const proxy = await behind(first.port);
    replaceFetch((await http2(proxy)).fetch);
    const quick = { reconnectAfterMs: () => 50, rejoinAfterMs: () => 50 };
    const a = await joinRoom(connect(proxy, upgrading(proxy), quick), "again");
    const b = await joinRoom(connect(proxy, LongPoll, quick), "again");
    await first.kill();
    await until(() => a.state !== "joined" && b.state !== "joined", "both to notice");
    await broker({ port: first.port });
    await until(() => a.state === "joined" && b.state === "joined", "both to have joined again");
    await talk(a, b);
  });
}

test("nginx with a plain proxy_pass, which breaks WebSockets and speaks HTTP/1.0: a client falls back to long polling", async () => {
  const { port } = await broker();
  const proxy = open(await startNginx(port, { location: "location / { proxy_pass http://127.0.0.1:4000; }" }), (it) => it.close());
  replaceFetch((await http2(proxy)).fetch);
  const sessionStorage = { getItem: () => null, setItem() {} };
  const fallback = { longPollFallbackMs: 500, sessionStorage };
  const [a, b] = [connect(proxy, upgrading(proxy), fallback), connect(proxy, LongPoll)];
  await talk(await joinRoom(a, "fallback"), await joinRoom(b, "fallback"));
  assert.ok(a.conn instanceof LongPoll);
});

test("Apache with a plain ProxyPass, which replaces the Host: pages of its own host are let in, and no others", async () => {
  const trust = { "server.trusted_proxies": "127.0.0.1" };
  const start = async (set) => open(await startApache((await broker({ set })).port), (it) => it.close());
  const [trusted, named, other] = [await start(trust), await start({ ...trust, "server.public_urls": "https://broker.example" }), await start({})];
  const page = (host, origin = `https://${host}`) => ({ headers: { Host: host }, origin });
  const join = () => joinRoom(connect(trusted, upgrading(trusted, page("broker.example"))), "apache");
  await talk(await join(), await join());
  assert.equal(await upgradeStatus(trusted, page("broker.example", "https://foreign.test")), 403);
  assert.equal(await upgradeStatus(named, page("broker.example")), 101);
  assert.equal(await upgradeStatus(named, page("evil.example")), 421);
  assert.equal(await upgradeStatus(other, page("broker.example")), 403);
});

test("HAProxy: phoenix.js by WebSockets over HTTP/2, all in one connection", async () => {
  const proxy = open(await startHaproxy((await broker()).port), (it) => it.close());
  const { session, WebSocket: Http2WebSocket } = await http2(proxy);
  assert.equal(session.remoteSettings.enableConnectProtocol, true);
  const [a, b] = [connect(proxy, Http2WebSocket), connect(proxy, Http2WebSocket)];
  await talk(await joinRoom(a, "streams"), await joinRoom(b, "streams"));
});

test("HAProxy asks at /readyz whether the node is there", async () => {
  const first = await broker();
  const proxy = open(await startHaproxy(first.port), (it) => it.close());
  const { fetch } = await http2(proxy);
  const status = async () => (await fetch(new URL("healthz", proxy.url))).status;
  assert.equal(await status(), 200);
  await first.kill();
  await until(async () => (await status()) === 503, "the node to be down");
  await broker({ port: first.port });
  await until(async () => (await status()) === 200, "the node to be up again");
});
