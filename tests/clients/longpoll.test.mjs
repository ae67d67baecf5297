/**
 * The official, unmodified `phoenix` npm client by long polling, and behind a proxy that blocks WebSockets. What it does
 * over both transports is in `phoenix.test.mjs`.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { LongPoll, Socket } from "phoenix";
import WebSocket from "ws";
import { startBlockade } from "../blockade.mjs";
import { startBroker } from "../broker.mjs";
import { ok, until } from "./await.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;
/** @type {Socket[]} */
const sockets = [];

before(async () => {
  broker = await startBroker();
});

after(async () => {
  for (const socket of sockets) socket.disconnect();
  await broker?.kill();
});

function connect(options, { socketUrl } = broker) {
  const socket = new Socket(socketUrl("socket"), options);
  sockets.push(socket);
  socket.connect();
  return socket;
}

const polling = (server) => connect({ transport: LongPoll }, server);
const upgraded = () => connect({ transport: WebSocket });

async function join(socket, name, params = {}) {
  const channel = socket.channel(`room:${name}`, params);
  await ok(channel.join());
  return channel;
}

/** The next payload of an event. */
const next = (channel, event) => new Promise((resolve) => channel.on(event, resolve));

test("a long-polling client and a WebSocket client receive each other's messages in order", async () => {
  const [a, b] = [await join(polling(), "both"), await join(upgraded(), "both")];
  const heard = { a: [], b: [] };
  a.on("said", ({ n }) => heard.a.push(n));
  b.on("said", ({ n }) => heard.b.push(n));
  const numbers = Array.from({ length: 250 }, (_, n) => n);
  // more in one tick than a request may bring
  await Promise.all(numbers.flatMap((n) => [ok(a.push("said", { n, "é": "😀\n" })), ok(b.push("said", { n }))]));
  await until(() => heard.a.length >= 250 && heard.b.length >= 250, "what each said");
  assert.deepEqual(heard, { a: numbers, b: numbers });
});

test("bytes from a long-polling client reach the others", async () => {
  const [a, b] = [await join(polling(), "bytes"), await join(upgraded(), "bytes")];
  const heard = next(b, "blob");
  await ok(a.push("blob", Uint8Array.from([0, 255, 7]).buffer));
  assert.deepEqual(new Uint8Array(await heard), Uint8Array.from([0, 255, 7]));
});

test("a long-polling client repeats its poll after each timeout", async () => {
  const short = await startBroker({ set: { "socket.poll_window": "500ms" } });
  const channel = await join(polling(short), "wait");
  const [closed, token] = [[], channel.socket.conn.token];
  channel.socket.onClose((event) => closed.push(event));
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  assert.deepEqual(await ok(channel.push("anything", {})), {});
  assert.deepEqual(closed, []);
  assert.equal(channel.socket.conn.token, token);
  channel.socket.disconnect();
  await short.kill();
});

for (const how of /** @type {const} */ (["refuse", "swallow"])) {
  test(`a client falls back to long-polling when a proxy would ${how} an upgrade`, async () => {
    const proxy = await startBlockade(broker.port, how);
    const kept = new Map();
    const sessionStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
    const options = { transport: WebSocket, longPollFallbackMs: 500, sessionStorage };
    const a = await join(connect(options, proxy), `behind-${how}`);
    assert.ok(a.socket.conn instanceof LongPoll);
    assert.equal(proxy.upgrades(), 1);
    const b = await join(upgraded(), `behind-${how}`);
    const heard = [next(a, "said"), next(b, "said")];
    await Promise.all([ok(a.push("said", { from: "a" })), ok(b.push("said", { from: "b" }))]);
    assert.deepEqual(await Promise.all(heard), [{ from: "b" }, { from: "a" }]);
    assert.deepEqual([...kept], [["phx:fallback:LongPoll", "true"]]);
    a.socket.disconnect();
    proxy.close();
  });
}
