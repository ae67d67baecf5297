/** The official, unmodified `phoenix` npm client against the real binary. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { startBroker } from "../broker.mjs";
import { startNetwork } from "../vanishing.mjs";
import { ok, until } from "./await.mjs";
import { CLIENTS, disconnect, presenceOf } from "./phoenix-clients.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;
/** @type {import("phoenix").Socket[]} */
const sockets = [];

before(async () => {
  broker = await startBroker();
});

after(async () => {
  sockets.forEach(disconnect);
  await broker?.kill();
});

/** What a client is: its version and its transport. */
const NEWEST = { version: "1.8", transport: WebSocket };
const EVERY_CLIENT = Object.entries(CLIENTS).flatMap(([version, { LongPoll }]) => [
  { name: `${version} by WebSocket`, version, transport: WebSocket },
  { name: `${version} by long polling`, version, transport: LongPoll },
]);

function connect({ version, transport } = NEWEST, options = {}, { socketUrl } = broker) {
  const socket = new CLIENTS[version].Socket(socketUrl("socket"), { transport, ...options });
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

for (const client of EVERY_CLIENT) {
  const { name, version } = client;

  test(`${name}: joins and pushes get replies, refusals too`, async () => {
    const socket = connect(client);
    const channel = socket.channel("room:join", {});
    assert.deepEqual(await ok(channel.join()), {});
    assert.equal(channel.state, "joined");
    assert.deepEqual(await ok(channel.push("anything", { n: 1 })), {});
    const refused = socket.channel("peer:not-a-uuid", {});
    await assert.rejects(ok(refused.join()), { response: { reason: "invalid peer id" } });
    refused.leave();
  });

  test(`${name}: a push to a room reaches the other members unchanged, and not its sender`, async () => {
    const [a, b] = [await joinRoom(`talk ${name}`, {}, connect(client)), await joinRoom(`talk ${name}`)];
    const payload = { text: "héllo 😀", list: [1, null, { deep: true }] };
    for (const [speaker, listener] of [[a, b], [b, a]]) {
      speaker.on("said", () => assert.fail("the sender heard itself"));
      const heard = next(listener, "said");
      await ok(speaker.push("said", payload));
      assert.deepEqual(await heard, payload);
      speaker.off("said");
    }
  });

  test(`${name}: long payloads arrive whole, in order`, async () => {
    const [a, b] = [await joinRoom(`long ${name}`, {}, connect(client)), await joinRoom(`long ${name}`, {}, connect(client))];
    const sent = ["a", "é", "😀"].map((letter) => letter.repeat(48_000 / Buffer.byteLength(letter)));
    const heard = [];
    b.on("said", ({ text }) => heard.push(text));
    for (const text of sent) assert.deepEqual(await ok(a.push("said", { text })), {});
    await until(() => heard.length === sent.length, "all of them");
    assert.deepEqual(heard, sent);
  });

  test(`${name}: a client that left receives nothing, and its pushes get a reply`, async () => {
    const room = `leave ${name}`;
    const [a, b] = [await joinRoom(room, {}, connect(client)), await joinRoom(room, {}, connect(client))];
    b.on("said", () => assert.fail("a message came after leaving"));
    await ok(b.leave());
    await ok(a.push("said", {}));
    assert.equal(b.state, "closed");
    const again = await joinRoom(room, {}, b.socket);
    const heard = next(again, "said");
    await ok(a.push("said", { n: 2 }));
    assert.deepEqual(await heard, { n: 2 });
  });

  test(`${name}: a client reconnects after the server was killed and restarted`, async () => {
    const first = await startBroker();
    const quick = { reconnectAfterMs: () => 50, rejoinAfterMs: () => 50 };
    const a = await joinRoom("again", {}, connect(client, quick, first));
    const b = await joinRoom("again", {}, connect(client, quick, first));
    const joinRef = a.joinRef();
    await first.kill();
    await until(() => a.state !== "joined" && b.state !== "joined", "both clients to notice");
    const second = await startBroker({ port: first.port });
    await until(() => a.state === "joined" && b.state === "joined", "both clients to have joined again");
    assert.notEqual(a.joinRef(), joinRef);
    const heard = next(b, "said");
    await ok(a.push("said", { back: true }));
    assert.deepEqual(await heard, { back: true });
    for (const { socket } of [a, b]) disconnect(socket);
    await second.kill();
  });

  test(`${name}: presence follows joins, updates, leaves and lost connections`, async () => {
    const room = `who ${name}`;
    const channel = connect(client).channel(`room:${room}`, { meta: { name: "a" } });
    const presence = presenceOf(version, channel);
    const names = () => presence.list().map((metas) => metas.map((meta) => meta.name).join("+")).sort().join();
    await ok(channel.join());
    await until(() => names() === "a", "oneself on the list");

    const b = await joinRoom(room, { meta: { name: "b" } }, connect(client));
    const c = await joinRoom(room, { meta: { name: "c" } });
    await joinRoom(room, {}, connect(client));
    await until(() => names() === "a,b,c", "three on the list, and not who only listens");

    await ok(b.push("update_meta", { name: "B" }));
    await until(() => names() === "B,a,c", "the update");
    await ok(b.leave());
    await until(() => names() === "a,c", "the leave");
    c.socket.conn.terminate();
    disconnect(c.socket);
    await until(() => names() === "a", "the death");
    // Both joins may come in one diff, which has no order.
    assert.deepEqual(presence.log.filter((line) => !/b/i.test(line)), ["+a", "+c", "-c"]);
  });
}

for (const client of EVERY_CLIENT.filter(({ version }) => version === "1.8")) {
  test(`${client.name}: a client whose network has vanished comes back under its id`, async (t) => {
    const network = await startNetwork(broker.port);
    t.after(() => network.close());
    const topic = `peer:${randomUUID()}`;
    await ok(connect(client, {}, network).channel(topic).join());
    const second = connect(client);
    await assert.rejects(ok(second.channel(topic).join()), { response: { reason: "taken" } });
    // this client would try again
    disconnect(second);
    network.vanish();
    // the owner has just shown that it is alive and keeps the id for a moment, so the client may have to join again
    const channel = connect(client).channel(topic);
    await new Promise((resolve) => channel.join().receive("ok", resolve));
  });
}

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

test("register replies with an id and pushes it", async () => {
  const channel = connect().channel("broker:match", {});
  await ok(channel.join());
  const registered = next(channel, "registered");
  const { id } = await ok(channel.push("register", {}));
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(await registered, { id });
});

// version 1.3 has no binary messages
for (const version of ["1.8", "1.6"]) {
  test(`${version}: bytes reach the others as bytes`, async () => {
    const client = { version, transport: WebSocket };
    const [a, b] = [await joinRoom(`bytes ${version}`, {}, connect(client)), await joinRoom(`bytes ${version}`)];
    const heard = next(b, "blob");
    const sent = Uint8Array.from({ length: 1_000 }, (_, i) => i % 256);
    await ok(a.push("blob", sent.buffer));
    const payload = await heard;
    assert.ok(payload instanceof ArrayBuffer, `got ${typeof payload}`);
    assert.deepEqual(new Uint8Array(payload), sent);
  });
}

test("of two joins of a channel on one socket the later one counts", async () => {
  const socket = connect();
  await joinRoom("twice", {}, socket);
  const second = await joinRoom("twice", {}, socket);
  assert.deepEqual(await ok(second.push("said", {})), {});
});

test("a heartbeat gets a reply", async () => {
  const socket = connect(NEWEST, { heartbeatIntervalMs: 50 });
  let beats = 0;
  socket.onMessage(({ topic, event, payload }) => {
    if (topic === "phoenix" && event === "phx_reply" && payload.status === "ok") beats += 1;
  });
  await until(() => beats >= 3, "three answered heartbeats");
  assert.equal(socket.isConnected(), true);
});

test("a member with `presence: true` sees the list without being on it", async () => {
  await joinRoom("watchers", { meta: { name: "a" } });
  const watcher = connect().channel("room:watchers", { presence: true });
  const presence = presenceOf("1.8", watcher);
  await ok(watcher.join());
  await until(() => presence.list().length === 1, "the one who is listed");
});
