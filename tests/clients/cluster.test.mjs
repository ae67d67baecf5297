/** Official clients on two nodes that work as one broker, on real engines. */

import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { Socket } from "phoenix";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { Cluster } from "../cluster.mjs";
import { ENGINES } from "../engines.mjs";
import { ok, until } from "./await.mjs";
import { disconnect, presenceOf } from "./phoenix-clients.mjs";

/** Limit of a test, in milliseconds. */
const LIMIT = { timeout: 60_000 };

/** What each test has opened; closed after it, the last one first. */
const opened = [];
const open = (thing, close) => (opened.push(() => close(thing)), thing);

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** A `phoenix` client of a node, or of the balancer. */
function connect({ socketUrl }) {
  const socket = new Socket(socketUrl("socket"), { transport: WebSocket, reconnectAfterMs: () => 50, rejoinAfterMs: () => 50 });
  socket.connect();
  return open(socket, disconnect);
}

async function join(node, topic, params = {}) {
  const channel = connect(node).channel(topic, params);
  await ok(channel.join());
  return channel;
}

/** A peer, with its channel. */
async function joinPeer(node, { id = randomUUID(), ...params } = {}) {
  return { id, channel: await join(node, `peer:${id}`, params) };
}

/** A secret, and the id of version 8 that only this secret can join. */
function certified() {
  const secret = randomBytes(32);
  const bytes = createHash("sha256").update(secret).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x80;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const id = bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  return { id, secret: secret.toString("base64url") };
}

/** The next payload of an event of a `phoenix` client. */
const next = (channel, event) => new Promise((resolve) => channel.on(event, resolve));

/** Signals from one peer to the other, and checks what arrives. */
async function signal(from, to) {
  const event = `signal-${randomUUID()}`;
  const heard = next(to.channel, event);
  assert.deepEqual(await ok(from.channel.push(event, { peer_id: to.id, sdp: "v=0" })), {});
  assert.deepEqual(await heard, { peer_id: from.id, sdp: "v=0" });
}

for (const engine of ENGINES) {
  describe(`on ${engine}`, () => {
    const cluster = new Cluster();
    let a;
    let b;

    before(async () => {
      await cluster.start({ engine });
      [a, b] = cluster.nodes;
    });

    after(() => cluster.close());

    test("phoenix: peers on different nodes signal each other, in order, and an absent peer is not found", LIMIT, async () => {
      const [ann, ben] = [await joinPeer(a), await joinPeer(b)];
      await signal(ann, ben);
      await signal(ben, ann);
      const heard = [];
      ben.channel.on("candidate", ({ n }) => heard.push(n));
      const sent = Array.from({ length: 50 }, (_, n) => n);
      await Promise.all(sent.map((n) => ok(ann.channel.push("candidate", { peer_id: ben.id, n }))));
      await until(() => heard.length === sent.length, "all that was sent");
      assert.deepEqual(heard, sent);
      ben.channel.leave(); // this client does not wait for the answer
      await ok(ben.channel.socket.channel("room:after the leave").join());
      for (const peer_id of [ben.id, randomUUID()]) {
        await assert.rejects(ok(ann.channel.push("offer", { peer_id })), { response: { reason: "peer_not_found" } });
      }
    });

    test("phoenix: a peer learns when another node's peer comes and goes", LIMIT, async () => {
      const ann = await joinPeer(a);
      const id = randomUUID();
      assert.deepEqual(await ok(ann.channel.push("watch", { peer_id: id })), { online: false });
      const up = next(ann.channel, "peer_up");
      const ben = await joinPeer(b, { id });
      assert.deepEqual(await up, { peer_id: id });
      const down = next(ann.channel, "peer_down");
      ben.channel.socket.conn.terminate();
      disconnect(ben.channel.socket);
      assert.deepEqual(await down, { peer_id: id });
    });

    test("phoenix: a message to a room reaches the members on both nodes, as soon as they have joined", LIMIT, async () => {
      for (let round = 0; round < 20; round += 1) {
        const room = `room:${randomUUID()}`;
        const members = [await join(a, room), await join(b, room), await join(a, room)];
        const [speaker, ...others] = round % 2 ? members : members.reverse();
        speaker.on("said", () => assert.fail("the sender heard itself"));
        const heard = Promise.all(others.map((channel) => next(channel, "said")));
        await ok(speaker.push("said", { text: "héllo 😀" }));
        assert.deepEqual(await heard, [{ text: "héllo 😀" }, { text: "héllo 😀" }]);
      }
    });

    test("phoenix: a presence list has the members of both nodes", LIMIT, async () => {
      const room = `room:${randomUUID()}`;
      const channel = connect(a).channel(room, { meta: { name: "a" } });
      const presence = presenceOf("1.8", channel);
      const names = () => presence.list().flatMap((metas) => metas.map(({ name }) => name)).sort().join();
      const early = await join(b, room, { meta: { name: "early" } });
      await ok(channel.join());
      await until(() => names() === "a,early", "who was there before");
      const late = await join(b, room, { meta: { name: "late" } });
      await until(() => names() === "a,early,late", "who came later");
      await ok(late.push("update_meta", { name: "later" }));
      await until(() => names() === "a,early,later", "the update");
      await ok(early.leave());
      disconnect(late.socket);
      await until(() => names() === "a", "those who left");
    });

    test("phoenix: a peer takes its id over on the other node with its secret, and nobody else does", LIMIT, async () => {
      for (const mine of [certified(), { id: randomUUID(), secret: randomBytes(32).toString("base64url") }]) {
        const ann = await joinPeer(a);
        const before = await joinPeer(a, mine);
        await signal(ann, before);
        const refused = connect(b).channel(`peer:${mine.id}`, { secret: randomBytes(32).toString("base64url") });
        await assert.rejects(ok(refused.join()), ({ response }) => ["taken", "unproven"].includes(response.reason));
        refused.leave();
        const closed = new Promise((resolve) => before.channel.onClose(() => resolve(undefined)));
        const now = await joinPeer(b, mine);
        await closed;
        await signal(ann, now);
        await signal(now, ann);
      }
    });

    test("PeerJS: offers reach clients of other nodes, also those that come later, and an id is taken on all nodes", LIMIT, async () => {
      const connect = ({ socketUrl }, id, token = randomUUID()) => {
        const socket = new WebSocket(`${socketUrl("peerjs")}?key=peerjs&id=${id}&token=${token}&version=1.5.5`);
        const heard = [];
        socket.on("message", (text) => heard.push(JSON.parse(text)));
        return open({ socket, heard }, () => socket.terminate());
      };
      const [annId, benId] = [randomUUID(), randomUUID()];
      const [ann, ben] = [connect(a, annId), connect(b, benId)];
      for (const { heard } of [ann, ben]) {
        await until(() => heard.length === 1, "the socket to open");
        assert.deepEqual(heard.shift(), { type: "OPEN" });
      }
      const payload = { sdp: { type: "offer", sdp: "v=0" }, type: "data", connectionId: "dc_1" };
      ann.socket.send(JSON.stringify({ type: "OFFER", dst: benId, payload }));
      await until(() => ben.heard.length === 1, "the offer");
      assert.deepEqual(ben.heard, [{ type: "OFFER", src: annId, dst: benId, payload }]);
      // held for a client that is not there yet, and comes to the other node
      const lateId = randomUUID();
      ann.socket.send(JSON.stringify({ type: "OFFER", dst: lateId, payload }));
      const late = connect(b, lateId);
      await until(() => late.heard.length === 2, "the held offer");
      assert.deepEqual(late.heard, [{ type: "OPEN" }, { type: "OFFER", src: annId, dst: lateId, payload }]);
      const second = connect(b, annId);
      await until(() => second.heard.length === 1, "the refusal");
      assert.equal(second.heard[0].type, "ID-TAKEN");
    });

    test("socket.io-client: rooms, signals and disconnects reach clients of the other node", LIMIT, async () => {
      const [ann, ben] = [a, b].map(({ url }) => {
        return open(io(url, { transports: ["websocket"], forceNew: true, reconnection: false }), (it) => it.close());
      });
      const room = randomUUID();
      for (const socket of [ann, ben]) assert.deepEqual(await socket.emitWithAck("join", { room }), {});
      const next = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
      const said = next(ben, "message");
      ann.emit("message", { text: "héllo 😀" }, Buffer.from([0, 1, 255]));
      const [{ from, text }, bytes] = await said;
      assert.deepEqual([from, text, [...Buffer.from(bytes)]], [ann.id, "héllo 😀", [0, 1, 255]]);
      const signalled = next(ann, "signal");
      assert.deepEqual(await ben.emitWithAck("signal", { to: from, sdp: "v=0" }), {});
      assert.deepEqual(await signalled, [{ from: ben.id, sdp: "v=0" }]);
      const gone = next(ann, "user disconnected");
      ben.close();
      const [{ id }] = await gone;
      await until(async () => (await ann.emitWithAck("signal", { to: id })).reason === "peer_not_found", "the client to be gone");
    });
  });
}

test("clients of a killed node come back through the balancer under their ids, and all reach each other again", LIMIT, async () => {
  const cluster = open(new Cluster(), (it) => it.close());
  await cluster.start();
  const mine = Array.from({ length: 4 }, certified);
  const peers = await Promise.all(mine.map((params) => joinPeer(cluster, params)));
  const everyPair = peers.flatMap((from) => peers.filter((to) => to !== from).map((to) => [from, to]));
  for (const [from, to] of everyPair) await signal(from, to);
  const sockets = peers.map(({ channel }) => channel.socket.conn);
  await cluster.nodes[0].kill();
  const isNew = ({ channel }, n) => channel.socket.conn !== sockets[n];
  await until(() => peers.some(isNew) && peers.every(({ channel }) => channel.state === "joined"), "all to be back");
  assert.ok(!peers.every(isNew), "the other node's clients have stayed");
  for (const [from, to] of everyPair) await signal(from, to);
});
