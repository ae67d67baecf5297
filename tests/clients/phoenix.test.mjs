/** The official, unmodified `phoenix` npm client against the real binary. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { LongPoll, Presence, Socket } from "phoenix";
import WebSocket from "ws";
import { startBroker } from "../broker.mjs";
import { startNetwork } from "../vanishing.mjs";
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

function connect(options = {}, { socketUrl } = broker) {
  const socket = new Socket(socketUrl("socket"), { transport: WebSocket, ...options });
  sockets.push(socket);
  socket.connect();
  return socket;
}

async function joinRoom(name, params = {}, socket = connect()) {
  const channel = socket.channel(`room:${name}`, params);
  await ok(channel.join());
  return channel;
}

/** The next payload of an event. */
const next = (channel, event) => new Promise((resolve) => channel.on(event, resolve));

for (const options of [{}, { transport: LongPoll }]) {
  const name = options.transport ? "long polling" : "a WebSocket";
  test(`a client whose network has vanished comes back under its id: ${name}`, async (t) => {
    const network = await startNetwork(broker.port);
    t.after(() => network.close());
    const topic = `peer:${randomUUID()}`;
    await ok(connect(options, network).channel(topic).join());
    const second = connect(options);
    await assert.rejects(ok(second.channel(topic).join()), { response: { reason: "taken" } });
    // this client would try again
    second.disconnect();
    network.vanish();
    // the owner has just shown that it is alive and keeps the id for a moment, so the client may have to join again
    const channel = connect(options).channel(topic);
    await new Promise((resolve) => channel.join().receive("ok", resolve));
  });
}

test("a join gets the reply ok", async () => {
  const channel = connect().channel("room:join", {});
  assert.deepEqual(await ok(channel.join()), {});
  assert.equal(channel.state, "joined");
});

for (const [topic, reason] of [
  ["peer:not-a-uuid", "invalid peer id"],
  ["broker:other", "Invalid subchannel"],
  ["nothing:here", "unmatched topic"],
]) {
  test(`join of ${topic} is refused with "${reason}"`, async () => {
    const channel = connect().channel(topic, {});
    await assert.rejects(ok(channel.join()), { response: { reason } });
    channel.leave();
  });
}

test("a push gets a reply", async () => {
  const channel = await joinRoom("reply");
  assert.deepEqual(await ok(channel.push("anything", { n: 1 })), {});
});

test("register replies with an id and pushes it", async () => {
  const channel = connect().channel("broker:match", {});
  await ok(channel.join());
  const registered = next(channel, "registered");
  const { id } = await ok(channel.push("register", {}));
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(await registered, { id });
});

test("a push to a room reaches the other members unchanged, and not its sender", async () => {
  const [a, b] = [await joinRoom("talk"), await joinRoom("talk")];
  a.on("said", () => assert.fail("the sender heard itself"));
  const heard = next(b, "said");
  const payload = { text: "héllo 😀", list: [1, null, { deep: true }] };
  await ok(a.push("said", payload));
  assert.deepEqual(await heard, payload);
});

test("bytes reach the others as bytes", async () => {
  const [a, b] = [await joinRoom("bytes"), await joinRoom("bytes")];
  const heard = next(b, "blob");
  const sent = Uint8Array.from({ length: 1_000 }, (_, i) => i % 256);
  await ok(a.push("blob", sent.buffer));
  const payload = await heard;
  assert.ok(payload instanceof ArrayBuffer, `got ${typeof payload}`);
  assert.deepEqual(new Uint8Array(payload), sent);
});

test("a client that left receives nothing, and its pushes get a reply", async () => {
  const [a, b] = [await joinRoom("leave"), await joinRoom("leave")];
  b.on("said", () => assert.fail("a message came after leaving"));
  await ok(b.leave());
  await ok(a.push("said", {}));
  assert.equal(b.state, "closed");
  const again = await joinRoom("leave", {}, b.socket);
  const heard = next(again, "said");
  await ok(a.push("said", { n: 2 }));
  assert.deepEqual(await heard, { n: 2 });
});

test("of two joins of a channel on one socket the later one counts", async () => {
  const socket = connect();
  await joinRoom("twice", {}, socket);
  const second = await joinRoom("twice", {}, socket);
  assert.deepEqual(await ok(second.push("said", {})), {});
});

test("a heartbeat gets a reply", async () => {
  const socket = connect({ heartbeatIntervalMs: 50 });
  let beats = 0;
  socket.onMessage(({ topic, event, payload }) => {
    if (topic === "phoenix" && event === "phx_reply" && payload.status === "ok") beats += 1;
  });
  await until(() => beats >= 3, "three answered heartbeats");
  assert.equal(socket.isConnected(), true);
});

test("a client reconnects after the server was killed and restarted", async () => {
  const first = await startBroker();
  const quick = { reconnectAfterMs: () => 50, rejoinAfterMs: () => 50 };
  const a = await joinRoom("again", {}, connect(quick, first));
  const b = await joinRoom("again", {}, connect(quick, first));
  const joinRef = a.joinRef();
  await first.kill();
  await until(() => a.state !== "joined" && b.state !== "joined", "both clients to notice");
  const second = await startBroker({ port: first.port });
  await until(() => a.state === "joined" && b.state === "joined", "both clients to have joined again");
  assert.notEqual(a.joinRef(), joinRef);
  const heard = next(b, "said");
  await ok(a.push("said", { back: true }));
  assert.deepEqual(await heard, { back: true });
  for (const { socket } of [a, b]) socket.disconnect();
  await second.kill();
});

test("presence follows joins, updates, leaves and lost connections", async () => {
  const names = (presence) => presence.list((_key, { metas }) => metas.map(({ name }) => name).join("+")).sort();
  const channel = connect().channel("room:who", { meta: { name: "a" } });
  const presence = new Presence(channel);
  const log = [];
  presence.onJoin((_key, _current, { metas }) => log.push(`+${metas[0].name}`));
  presence.onLeave((_key, _current, { metas }) => log.push(`-${metas[0].name}`));
  await ok(channel.join());
  await until(() => names(presence).join() === "a", "oneself on the list");

  const b = await joinRoom("who", { meta: { name: "b" } });
  const c = await joinRoom("who", { meta: { name: "c" } });
  await joinRoom("who");
  await until(() => names(presence).join() === "a,b,c", "three on the list, and not who only listens");

  await ok(b.push("update_meta", { name: "B" }));
  await until(() => names(presence).join() === "B,a,c", "the update");
  await ok(b.leave());
  await until(() => names(presence).join() === "a,c", "the leave");
  c.socket.conn.terminate();
  c.socket.disconnect();
  await until(() => names(presence).join() === "a", "the death");
  // Both joins may come in one diff, which has no order.
  assert.deepEqual(log.filter((line) => !/b/i.test(line)), ["+a", "+c", "-c"]);
});

test("a member with `presence: true` sees the list without being on it", async () => {
  await joinRoom("watchers", { meta: { name: "a" } });
  const watcher = connect().channel("room:watchers", { presence: true });
  const presence = new Presence(watcher);
  await ok(watcher.join());
  await until(() => presence.list().length === 1, "the one who is listed");
});
