/** The official, unmodified `socket.io-client` in three major versions against the real binary. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { io } from "socket.io-client";
import io1 from "socket.io-client-1";
import io2 from "socket.io-client-2";
import { startBroker } from "../broker.mjs";
import { until } from "./await.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;
const sockets = [];

before(async () => {
  broker = await startBroker();
});

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.removeAllListeners().close();
});

after(async () => {
  await broker?.kill();
});

const CLIENTS = { "4.x": io, "2.x": io2, "1.x": io1 };
const WAYS = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };
const EVERY_WAY = Object.keys(CLIENTS).flatMap((version) => Object.keys(WAYS).map((way) => [version, way]));

/** A client that has connected, and changed to the transport that it will keep. */
async function connect(version = "4.x", way = "upgrade", options = {}) {
  const socket = CLIENTS[version](broker.url, { transports: WAYS[way], forceNew: true, ...options });
  sockets.push(socket);
  const name = () => socket.io.engine?.transport?.name;
  const kept = way === "upgrade" ? "websocket" : way;
  await until(() => socket.connected && name() === kept, `${version} to be connected by ${way}`);
  return socket;
}

/** The arguments of the next event of that name. */
const next = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));

const ask = (socket, event, ...args) => new Promise((resolve) => socket.emit(event, ...args, resolve));

for (const [version, way] of EVERY_WAY) {
  test(`${version} by ${way}: a message reaches the others of the room, and no one else`, async () => {
    const room = `talk ${version} ${way}`;
    const [a, b] = [await connect(version, way), await connect(version, way)];
    for (const socket of [a, b]) assert.deepEqual(await ask(socket, "join", { room }), {});
    a.on("message", () => assert.fail("the sender heard itself"));
    const heard = next(b, "message");
    a.emit("message", "héllo 😀", { list: [1, null, true] }, Buffer.from([0, 1, 255]));
    const [text, object, bytes] = await heard;
    assert.equal(text, "héllo 😀");
    assert.deepEqual(object, { list: [1, null, true] });
    assert.deepEqual(Buffer.from(bytes), Buffer.from([0, 1, 255]));
  });

  test(`${version} by ${way}: a hundred messages keep their order`, async () => {
    const room = `order ${version} ${way}`;
    const [a, b] = [await connect(version, way), await connect(version, way)];
    for (const socket of [a, b]) await ask(socket, "join", { room });
    const heard = [];
    b.on("message", (n) => heard.push(n));
    for (let n = 0; n < 100; n += 1) a.emit("message", n);
    await until(() => heard.length === 100, "a hundred messages");
    assert.deepEqual(heard, Array.from({ length: 100 }, (_, n) => n));
  });

  test(`${version} by ${way}: the tutorial's page flow`, async () => {
    const room = `flow ${version} ${way}`;
    const [caller, callee] = [await connect(version, way), await connect(version, way)];
    for (const socket of [caller, callee]) await ask(socket, "join", { room });
    const offer = next(callee, "message");
    caller.emit("message", { type: "offer", sdp: "v=0\r\n" });
    const [{ from: callerId, ...rest }] = await offer;
    assert.deepEqual(rest, { type: "offer", sdp: "v=0\r\n" });
    const answer = next(caller, "message");
    callee.emit("message", { type: "answer", sdp: "v=0\r\n", sendto: callerId });
    const [{ from: calleeId, ...reply }] = await answer;
    assert.deepEqual(reply, { type: "answer", sdp: "v=0\r\n", sendto: callerId });
    if (version === "4.x") assert.deepEqual([callerId, calleeId], [caller.id, callee.id]);
    const gone = next(caller, "user disconnected");
    callee.close();
    assert.deepEqual(await gone, [{ id: calleeId }]);
  });

  test(`${version} by ${way}: the last room that was entered counts, and a message can go to one client`, async () => {
    const [a, b, c] = [await connect(version, way), await connect(version, way), await connect()];
    const room = `entered ${version} ${way}`;
    assert.deepEqual(await ask(a, "enter", `${room}, before`), {});
    for (const socket of [a, b, c]) assert.deepEqual(await ask(socket, "enter", room), {});
    const [heardByB, heardByC] = [next(b, "message"), next(c, "message")];
    a.emit("message", { type: "call" });
    const [[{ from }], [{ from: same }]] = await Promise.all([heardByB, heardByC]);
    assert.equal(from, same);
    c.on("message", () => assert.fail("heard what was sent to another client"));
    const heard = next(a, "message");
    assert.deepEqual(await ask(b, "message", { type: "offer", sendto: from }), {});
    const [{ from: calleeId, ...offer }] = await heard;
    assert.deepEqual(offer, { type: "offer", sendto: from });
    assert.notEqual(calleeId, from);
    assert.deepEqual(await ask(b, "message", { sendto: "nobody" }), { reason: "peer_not_found" });
  });
}

test("clients of all versions and transports receive each other's messages", async () => {
  const room = "generations";
  const all = await Promise.all(EVERY_WAY.map(([version, way]) => connect(version, way)));
  for (const socket of all) await ask(socket, "join", { room });
  for (const speaker of all) {
    const others = all.filter((socket) => socket !== speaker);
    const heard = Promise.all(others.map((socket) => next(socket, "message")));
    speaker.emit("message", "Grüße", Buffer.from("bytes"));
    for (const [text, bytes] of await heard) {
      assert.equal(text, "Grüße");
      assert.equal(Buffer.from(bytes).toString(), "bytes");
    }
  }
});

test("a client without a room reaches everybody, and receives nothing from other rooms", async () => {
  const [outside, inside, speaker] = [await connect(), await connect(), await connect()];
  await ask(inside, "join", { room: "inside" });
  const everybody = Promise.all([next(outside, "message"), next(inside, "message")]);
  speaker.emit("message", "to all");
  assert.deepEqual(await everybody, [["to all"], ["to all"]]);
  await ask(speaker, "join", "inside");
  outside.on("message", () => assert.fail("heard what was said in a room"));
  const heard = next(inside, "message");
  speaker.emit("message", "to the room");
  assert.deepEqual(await heard, ["to the room"]);
  assert.deepEqual(await ask(speaker, "leave", { room: "inside" }), {});
  inside.removeAllListeners("message");
  outside.removeAllListeners("message");
  const again = next(outside, "message");
  speaker.emit("message", "to all again");
  assert.deepEqual(await again, ["to all again"]);
});

test("a signal reaches the client that it names, with its sender's id, and is acknowledged with its delivery status", async () => {
  const [a, b] = [await connect(), await connect()];
  assert.notEqual(a.id, a.io.engine.id);
  const heard = next(b, "signal");
  assert.deepEqual(await ask(a, "signal", { to: b.id, sdp: "v=0", blob: Buffer.from([7]), from: "somebody" }), {});
  const [{ blob, ...rest }] = await heard;
  assert.deepEqual(rest, { from: a.id, sdp: "v=0" });
  assert.deepEqual([...blob], [7]);
  assert.deepEqual(await ask(a, "signal", { to: "nobody" }), { reason: "peer_not_found" });
  assert.deepEqual(await ask(a, "signal", {}), { reason: "invalid payload" });
  assert.deepEqual(await ask(a, "anything", {}), { reason: "unknown event" });
});

for (const version of Object.keys(CLIENTS)) {
  test(`${version}: the ICE servers come with credentials for the client`, async (t) => {
    const servers = '[{ urls = "stun:stun.test" }, { urls = "turn:turn.test", secret = "north" }]';
    const turning = await startBroker({ set: { "peer.ice_servers": servers } });
    t.after(() => turning.kill());
    const socket = CLIENTS[version](turning.url, { forceNew: true });
    sockets.push(socket);
    const { iceServers } = await ask(socket, "ice");
    assert.deepEqual(iceServers.map(({ urls }) => urls[0]), ["stun:stun.test", "turn:turn.test"]);
    const [, user] = iceServers[1].username.split(":");
    assert.match(user, /^[0-9a-f]{32}$/);
    if (version === "4.x") assert.equal(user, socket.id);
  });

  test(`${version}: an unknown namespace is refused`, async () => {
    const path = new URL("nowhere", broker.url).href;
    const socket = CLIENTS[version](path, { forceNew: true, reconnection: false });
    sockets.push(socket);
    const [error] = await next(socket, version === "4.x" ? "connect_error" : "error");
    assert.equal(error.message ?? error, "Invalid namespace");
  });

  test(`${version}: pings keep a silent client connected, by polling too`, async () => {
    const quick = await startBroker({ set: { "socketio.ping_interval": "150ms", "socketio.ping_timeout": "1s" } });
    const clients = ["polling", "websocket"].map((way) =>
      CLIENTS[version](quick.url, { transports: [way], forceNew: true, reconnection: false }),
    );
    sockets.push(...clients);
    await Promise.all(clients.map((socket) => next(socket, "connect")));
    let beats = 0;
    for (const { io: manager } of clients) {
      manager.engine.on("packet", ({ type }) => (beats += type === "ping" || type === "pong" ? 1 : 0));
    }
    await until(() => beats >= 20, "twenty signs of life");
    assert.deepEqual(clients.map((socket) => socket.connected), [true, true]);
    await quick.kill();
  });

  test(`${version}: a client reconnects after the server was killed and restarted`, async () => {
    const first = await startBroker();
    const again = { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100 };
    const socket = CLIENTS[version](first.url, again);
    sockets.push(socket);
    await next(socket, "connect");
    const gone = next(socket, "disconnect");
    await first.kill();
    await gone;
    const second = await startBroker({ port: first.port });
    await until(() => socket.connected, "the client to be back");
    assert.deepEqual(await ask(socket, "join", { room: "back" }), {});
    await second.kill();
  });
}

test("the client's script is served from the configured folder, and nothing else", async (t) => {
  const missing = await fetch(new URL("socket.io/socket.io.js", broker.url));
  assert.equal(missing.status, 404);
  assert.match(await missing.text(), /socketio\.client_dir/);

  const folder = await mkdtemp(join(tmpdir(), "client-dist-"));
  t.after(() => rm(folder, { recursive: true }));
  for (const file of ["socket.io.js", "socket.io.min.js", "socket.io.js.map", "other.js"]) {
    await writeFile(join(folder, file), `// ${file}`);
  }
  const serving = await startBroker({ set: { "socketio.client_dir": folder } });
  t.after(() => serving.kill());
  for (const file of ["socket.io.js", "socket.io.min.js", "socket.io.js.map"]) {
    const answer = await fetch(new URL(`socket.io/${file}`, serving.url));
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), file.endsWith(".map") ? /json/ : /javascript/);
    assert.equal(await answer.text(), `// ${file}`);
  }
  // the names of 0.9: of a version, and built for some transports
  for (const file of ["socket.io.v0.9.16.js", "socket.io+websocket+xhr-polling.js", "socket.io+websocket.v0.9.js"]) {
    const answer = await fetch(new URL(`socket.io/${file}`, serving.url));
    assert.equal(await answer.text(), "// socket.io.js", file);
  }
  for (const file of ["other.js", "socket.io.slim.js", "socket.io.js%2f..%2fother.js"]) {
    assert.equal((await fetch(new URL(`socket.io/${file}`, serving.url))).status, 404, file);
  }
});
