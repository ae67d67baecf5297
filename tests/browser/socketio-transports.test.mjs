/**
 * Every version of Socket.IO's client before 3 over every transport that it has, on a page of another origin as in the
 * articles of their time. Each talks with a client of version 4 in the same room.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { startBroker } from "../broker.mjs";
import { until } from "../clients/await.mjs";
import { launch, openPage } from "./chromium.mjs";

/** The folders with the scripts of the clients. */
const CLIENTS = {
  "1.0.6": "socket.io-client-1.0",
  "1.3.7": "socket.io-client-1.3",
  "1.7.4": "socket.io-client-1/dist",
  "2.5.0": "socket.io-client-2/dist",
};
const WAYS = {
  polling: { transports: ["polling"] },
  "polling in base64": { transports: ["polling"], forceBase64: true },
  JSONP: { transports: ["polling"], forceJSONP: true },
  websocket: { transports: ["websocket"] },
  upgrade: {},
  "upgrade from JSONP": { forceJSONP: true },
};
const TEXT = "héllo 😀 ☃ \u2028 \n \\n \\\\n \" </script>";
const BYTES = [0, 4, 127, 128, 200, 255];

/** The pages' own server: any path is a page with the script of the broker that its query names. */
const pages = createServer((request, response) => {
  const broker = new URL(request.url ?? "", "http://localhost").searchParams.get("broker");
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.end(`<!doctype html><title>old</title><link rel="icon" href="data:,"><body>
    <script src="${broker}socket.io/socket.io.js"></script>`);
});
pages.listen(0, "127.0.0.1");
await once(pages, "listening");
const browser = await launch();

after(async () => {
  await browser.close();
  pages.close();
});

/** A port that is free, for the broker's metrics. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A broker that serves the script of this client, and the sum of one of its metrics. */
async function brokerWith(t, folder) {
  const client_dir = fileURLToPath(new URL(`../node_modules/${folder}`, import.meta.url));
  const metrics = `127.0.0.1:${await freePort()}`;
  const broker = await startBroker({
    set: { "socketio.client_dir": client_dir, "metrics.listen": metrics },
  });
  t.after(() => broker.kill());
  const count = async (name) => {
    const lines = (await (await fetch(`http://${metrics}/metrics`)).text()).split("\n");
    const samples = lines.filter((line) => line.startsWith(`handclasp_${name}{`) && line.includes('"socketio"'));
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  };
  return { broker, count };
}

/** A page whose client has connected. */
async function openClient(t, broker, options) {
  const { page, complaints: errors } = await openPage(browser);
  t.after(() => page.context().close());
  await page.goto(`http://127.0.0.1:${pages.address().port}/?broker=${encodeURIComponent(broker.url)}`);
  await page.evaluate(connect, [broker.url, options]);
  await page.waitForFunction(() => window.socket.connected);
  return { page, errors };
}

/** Runs in the page. The bytes in what it hears become arrays. */
function connect([url, options]) {
  const plain = (value) => {
    if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
    if (value instanceof Error) return value.message;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  };
  window.heard = [];
  window.connections = 0;
  const socket = (window.socket = window.io(url, options));
  socket.on("connect", () => (window.connections += 1));
  for (const event of ["message", "signal", "error", "disconnect"]) {
    socket.on(event, (...args) => window.heard.push([event, ...args.map(plain)]));
  }
  window.ask = (event, ...args) => new Promise((resolve) => socket.emit(event, ...args, resolve));
  window.bytes = (bytes) => new Uint8Array(bytes).buffer;
}

/** What the page hears next, or has heard first. */
async function next(page) {
  await page.waitForFunction(() => window.heard.length > 0);
  return page.evaluate(() => window.heard.shift());
}

async function openPeer(t, broker) {
  const peer = io(broker.url, { forceNew: true });
  t.after(() => peer.removeAllListeners().close());
  await until(() => peer.connected, "the client of version 4 to be connected");
  return peer;
}

for (const [version, folder] of Object.entries(CLIENTS)) {
  for (const [way, options] of Object.entries(WAYS)) {
    test(`${version} by ${way} talks with 4.x in its room`, { timeout: 120_000 }, async (t) => {
      const { broker, count } = await brokerWith(t, folder);
      const peer = await openPeer(t, broker);
      const { page, errors } = await openClient(t, broker, options);
      const kept = way.startsWith("polling") || way === "JSONP" ? "polling" : "websocket";
      await page.waitForFunction((name) => window.socket.io.engine.transport.name === name, kept);
      assert.equal(await page.evaluate(() => "___eio" in window), way.includes("JSONP"));

      assert.deepEqual(await page.evaluate(() => window.ask("join", { room: "ünï" })), {});
      assert.deepEqual(await peer.emitWithAck("join", { room: "ünï" }), {});
      const said = once(peer, "message");
      await page.evaluate(([text, bytes]) => {
        window.socket.emit("message", text, { list: [1, null, true] }, window.bytes(bytes));
      }, [TEXT, BYTES]);
      const [text, object, bytes] = await said;
      assert.deepEqual([text, object, [...bytes]], [TEXT, { list: [1, null, true] }, BYTES]);
      peer.emit("message", TEXT, { list: [1, null, true] }, Buffer.from(BYTES));
      assert.deepEqual(await next(page), ["message", TEXT, { list: [1, null, true] }, { bytes: BYTES }]);

      const signal = once(peer, "signal");
      const request = { to: peer.id, sdp: TEXT };
      assert.deepEqual(await page.evaluate((request) => window.ask("signal", request), request), {});
      const [{ from, sdp }] = await signal;
      assert.equal(sdp, TEXT);
      assert.deepEqual(await peer.emitWithAck("signal", { to: from, blob: Buffer.from(BYTES) }), {});
      assert.deepEqual(await next(page), ["signal", { blob: { bytes: BYTES }, from: peer.id }]);
      const refused = await page.evaluate(() => window.ask("signal", { to: "nobody" }));
      assert.deepEqual(refused, { reason: "peer_not_found" });

      const heard = [];
      peer.on("message", (n) => heard.push(n));
      const numbers = Array.from({ length: 30 }, (_, n) => n);
      await page.evaluate((numbers) => numbers.forEach((n) => window.socket.emit("message", n)), numbers);
      for (const n of numbers) peer.emit("message", n);
      for (const n of numbers) assert.deepEqual(await next(page), ["message", n]);
      await until(() => heard.length === numbers.length, "every message");
      assert.deepEqual(heard, numbers);

      assert.equal(await page.evaluate(() => window.connections), 1);
      assert.deepEqual(errors, []);
      const gone = once(peer, "user disconnected");
      await page.close();
      await gone;
      assert.equal(await count("connections_opened_total"), 2, "one handshake of each client");
      assert.equal(await count("connections_refused_total"), 0);
    });
  }

  test(`${version}: a namespace that does not exist is refused, and the client stays connected`, { timeout: 120_000 }, async (t) => {
    const { broker, count } = await brokerWith(t, folder);
    const { page } = await openClient(t, broker, {});
    const error = await page.evaluate(
      (url) => new Promise((resolve) => window.io(url).on("error", resolve)),
      new URL("nowhere", broker.url).href,
    );
    assert.equal(error, "Invalid namespace");
    assert.deepEqual(await page.evaluate(() => window.ask("join", { room: "a" })), {});
    assert.equal(await count("connections_opened_total"), 1, "both namespaces share one connection");
  });

  test(`${version}: a client comes back after the server was killed and restarted`, { timeout: 120_000 }, async (t) => {
    const { broker } = await brokerWith(t, folder);
    const again = { reconnectionDelay: 50, reconnectionDelayMax: 100 };
    const clients = [];
    for (const way of ["polling", "JSONP", "upgrade"]) {
      clients.push(await openClient(t, broker, { ...WAYS[way], ...again }));
    }
    await broker.kill();
    for (const { page } of clients) await page.waitForFunction(() => window.socket.disconnected);
    const second = await startBroker({ port: broker.port });
    t.after(() => second.kill());
    for (const { page } of clients) {
      await page.waitForFunction(() => window.socket.connected);
      assert.deepEqual(await page.evaluate(() => window.ask("join", { room: "back" })), {});
    }
  });
}
