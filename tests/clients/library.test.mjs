/**
 * The library in Node.js with the WebSocket of `ws`: against the real broker, and against the conformance
 * server, which represents any Phoenix server.
 */

import assert from "node:assert/strict";
import { after, test } from "node:test";
import wrtc from "@roamhq/wrtc";
import WebSocket from "ws";
import { webRtcOf } from "../../web/lib/cli/node-webrtc.js";
import { TextTarget, receive, share } from "../../web/lib/share/index.js";
import { DisconnectedError, Presence, Socket } from "../../web/lib/index.js";
import { startBroker, startConformance } from "../broker.mjs";
import { startGatheringProxy } from "../gathering.mjs";

/** @type {Socket[]} */
const sockets = [];
/** @type {Array<import("../broker.mjs").Broker>} */
const servers = [];

after(async () => {
  for (const socket of sockets) socket.disconnect();
  await Promise.all(servers.map((server) => server.kill()));
});

/** @param {() => Promise<import("../broker.mjs").Broker>} start */
async function run(start) {
  servers.push(await start());
  return servers.at(-1);
}

/**
 * @param {string} url
 * @param {import("../../web/lib/channels/socket.js").SocketOptions} [options]
 */
function open(url, options = {}) {
  sockets.push(new Socket(url, { transport: WebSocket, random: () => 0, ...options }));
  return sockets.at(-1);
}

/**
 * @param {import("../../web/lib/channels/channel.js").Channel} channel
 * @param {string} event
 */
function next(channel, event) {
  return new Promise((resolve) => {
    const stop = channel.on(event, (payload) => (stop(), resolve(payload)));
  });
}

/**
 * The server closes clients that are silent for 200 ms, which happens on a busy machine: retries then.
 *
 * @template T
 * @param {() => Promise<T>} ask
 * @returns {Promise<T>}
 */
async function persist(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof DisconnectedError)) throw error;
    }
  }
}

test("a Node.js program connects when the broker starts, and reconnects after it was killed and restarted", async () => {
  const first = await startBroker();
  await first.kill();
  const socket = open(first.socketUrl("socket"));
  const refused = new Promise((resolve) => socket.on("close", resolve));
  const room = socket.channel("room:again");
  const joined = room.join();
  assert.equal((await refused).code, 1006);
  const second = await startBroker({ port: first.port });
  assert.deepEqual(await joined, {});
  await second.kill();
  await new Promise((resolve) => socket.on("waiting", resolve));
  const back = new Promise((resolve) => room.onState((state) => state === "joined" && resolve(true)));
  await run(() => startBroker({ port: first.port }));
  await back;
  assert.deepEqual(await room.push("said", {}), {});
});

test("rooms, bytes, presence and leaving, against the broker", async () => {
  const broker = await run(startBroker);
  const rooms = ["a", "b"].map((name) => open(broker.socketUrl("socket")).channel("room:lib", { meta: { name } }));
  const presence = new Presence(rooms[0]);
  const both = new Promise((resolve) => presence.on("sync", () => presence.list().length === 2 && resolve(true)));
  for (const room of rooms) await room.join();
  await both;
  const text = next(rooms[1], "said");
  assert.deepEqual(await rooms[0].push("said", { text: "héllo 😀" }), {});
  assert.deepEqual(await text, { text: "héllo 😀" });
  const bytes = next(rooms[1], "blob");
  await rooms[0].push("blob", new Uint8Array([0, 255]));
  assert.deepEqual(new Uint8Array(await bytes), new Uint8Array([0, 255]));
  const gone = new Promise((resolve) => presence.on("leave", (_, [{ name }]) => resolve(name)));
  await rooms[1].leave();
  assert.equal(await gone, "b");
});

test("a crowd behind a proxy that gathers for 30 ms gets into ten rooms of 100 members at the first try", async () => {
  const [members, rooms, pad] = [100, 10, "x".repeat(200)];
  const broker = await run(startBroker);
  const proxy = await startGatheringProxy(broker.port, 30);
  after(proxy.close);
  let closed = 0;
  const crowd = Array.from({ length: members }, (_, name) => {
    const socket = open(`ws://127.0.0.1:${proxy.port}/socket`);
    socket.on("close", () => closed++);
    return Array.from({ length: rooms }, (_, room) => {
      const channel = socket.channel(`room:crowd-${room}`, { meta: { name, pad } });
      const presence = new Presence(channel);
      const complete = new Promise((resolve) => presence.on("sync", () => presence.list().length === members && resolve(true)));
      return { channel, complete };
    });
  }).flat();
  await Promise.all(crowd.map(({ channel }) => channel.join()));
  await Promise.all(crowd.map(({ complete }) => complete));
  assert.equal(closed, 0);
});

test("any Phoenix server: join, pushes, bytes, refusals, a crash, and leave", async () => {
  const server = await run(startConformance);
  const socket = open(server.socketUrl("ws"), { heartbeatInterval: 60 });
  const lobby = socket.channel("room:lobby");
  const told = [next(lobby, "user_entered"), next(lobby, "joined")];
  assert.deepEqual(await lobby.join(), {});
  assert.deepEqual(await Promise.all(told), [{ user: null }, { status: "connected", user_id: null }]);

  const heard = next(lobby, "new_msg");
  await persist(() => lobby.push("new_msg", { body: "hi!" }));
  assert.deepEqual(await heard, { body: "hi!", transport: ":websocket" });
  await assert.rejects(persist(() => lobby.push("nonsense")), { name: "RefusedError", reason: "unknown event" });

  const bin = socket.channel("room:bin");
  await bin.join();
  const pushed = next(bin, "binary_event");
  const answer = await persist(() => bin.push("binary_event", new Uint8Array([1, 2])));
  assert.deepEqual([...new Uint8Array(answer)], [1, 2, 3, 4]);
  assert.deepEqual([...new Uint8Array(await pushed)], [0, 1]);

  await assert.rejects(socket.channel("unmatched-topic").join(), { name: "RefusedError", reason: "unmatched topic" });
  await assert.rejects(socket.channel("custom:x", { action: "error" }).join(), { name: "RefusedError", reason: "join crashed" });

  const again = new Promise((resolve) => lobby.onState((state) => state === "joined" && resolve(true)));
  await assert.rejects(lobby.push("boom"), { name: "DisconnectedError" });
  await again;
  await lobby.leave();
  await lobby.join();
  await persist(() => lobby.push("new_msg", {}));
});

test("any Phoenix server: params arrive, and a refused connection is retried", async () => {
  const server = await run(startConformance);
  let tries = 0;
  const params = () => ({ reject: String(tries++ === 0), user_id: "1001" });
  const lobby = open(server.socketUrl("ws"), { params }).channel("room:lobby");
  const told = next(lobby, "joined");
  await lobby.join();
  assert.deepEqual(await told, { status: "connected", user_id: "1001" });
  assert.ok(tries >= 2);
});

test("a string is shared as a text, beside files", async () => {
  const { url } = await run(startBroker);
  const platform = { transport: WebSocket, createConnection: webRtcOf(wrtc) };
  const shared = await share([new File(["hello"], "hello.txt"), "Grüße"], { page: url, ...platform });
  const received = await receive(shared.link, platform);
  const texts = received.entries.filter(({ text }) => text);
  assert.deepEqual([received.entries.length, texts.length], [2, 1]);
  const target = new TextTarget();
  await (await received.download(texts, target)).finished;
  assert.deepEqual([...target.texts.values()], ["Grüße"]);
  await received.stop();
  await shared.stop();
});

test("whoever receives is told when the share is stopped, and does not wait for it", async () => {
  const { url } = await run(startBroker);
  const platform = { transport: WebSocket, createConnection: webRtcOf(wrtc) };
  const shared = await share([new File(["hello"], "hello.txt")], { page: url, ...platform });
  const received = await receive(shared.link, platform);
  const ended = new Promise((resolve) => received.fetch.on("state", (state, error) => state === "ended" && resolve(error)));
  await shared.stop();
  assert.equal((await ended).reason, "ended");
  received.stop();
});
