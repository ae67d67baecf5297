/**
 * The server API against the real binary: what the official clients hear and how they are disconnected, the unix socket, and
 * what schemathesis finds when it sends what openapi.json allows and forbids.
 */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { access, mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import WebSocket from "ws";
import { Socket } from "../../web/lib/index.js";
import { startBroker } from "../broker.mjs";
import { SECRET, sign } from "../tokens/sign.mjs";
import { ok, until } from "./await.mjs";
import { LongPoll, clientsOf } from "./token-clients.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
/** Of an environment with what requirements.txt locks. */
const PYTHON = process.env.CLIENTS_PYTHON ?? path("../../target/python/bin/python3");
const OPENAPI = path("../../src/api/openapi.json");
const KEY = "a key of at least 32 bytes, for the tests of the API";
const PERMISSIONS = '["read", "publish", "disconnect", "revoke"]';

/** @type {import("../broker.mjs").Broker} */
let broker;
let api = "";
/** @type {ReturnType<typeof clientsOf>} */
let clients;

before(async () => {
  let said = "";
  const set = {
    "api.listen": "127.0.0.1:0",
    "api.keys": `[{ name = "tests", key = "${KEY}", permissions = ${PERMISSIONS} }]`,
    "api.requests_per_second": "100_000",
    "auth.mode": "turn",
    "auth.secrets": SECRET,
    "log.level": "error",
  };
  const withOutput = (program, words, options) => {
    const child = spawn(program, words, options);
    child.stdout.setEncoding("utf8").on("data", (text) => (said += text));
    return child;
  };
  broker = await startBroker({ set, spawn: withOutput });
  await until(() => /api +http:\S+/.test(said), "the address of the API");
  api = /api +(http:\S+)/.exec(said)[1];
  clients = clientsOf(broker);
});

afterEach(() => clients.end());

after(() => broker?.kill());

/** Sends a request, whose answer must have this status. */
async function call(method, route, body, status = 200) {
  const headers = { Authorization: `Bearer ${KEY}`, ...(body && { "Content-Type": "application/json" }) };
  const response = await fetch(api + route, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.equal(response.status, status, `${route}: ${text}`);
  return JSON.parse(text);
}

const post = (route, body) => call("POST", route, body);

/** The next event of a channel. */
const next = (channel, event) => new Promise((resolve) => channel.on(event, resolve));

test("phoenix hears a room and a signal, by WebSocket and by long polling", async () => {
  const room = `room:${randomUUID()}`;
  for (const transport of [undefined, LongPoll]) {
    const id = randomUUID();
    const { socket } = clients.phoenix({ ...(transport && { transport }) });
    const [peer, channel] = [socket.channel(`peer:${id}`, {}), socket.channel(room, {})];
    await ok(peer.join());
    await ok(channel.join());
    const [ring, notice] = [next(peer, "ring"), next(channel, "notice")];
    assert.deepEqual(await post("/v1/signal", { to: id, event: "ring", payload: { from: "me" } }), { verdict: "delivered" });
    assert.deepEqual(await ring, { peer_id: null, from: "me" });
    const { delivered } = await post("/v1/publish", { topic: room, event: "notice", payload: { text: "hello" } });
    assert.ok(delivered >= 1);
    assert.deepEqual(await notice, { text: "hello" });
    const found = await call("GET", `/v1/peers/${id}`);
    assert.deepEqual([found.online, found.transport, found.rooms], [true, transport ? "http" : "websocket", [room]]);
  }
  const absent = await post("/v1/signal", { to: randomUUID(), event: "ring", payload: {} });
  assert.deepEqual(absent, { verdict: "peer_not_found" });
});

test("socket.io hears arguments", async () => {
  for (const version of ["4.x", "2.x"]) {
    const { connected } = clients.socketio(version);
    const socket = await connected;
    const heard = new Promise((resolve) => socket.on("news", (...args) => resolve(args)));
    const { delivered } = await post("/v1/publish", { topic: "/", event: "news", payload: [1, { a: 2 }], protocol: "socketio" });
    assert.ok(delivered >= 1);
    assert.deepEqual(await heard, [1, { a: 2 }]);
  }
});

test("phoenix comes back after a disconnect by each handle, and by its own id is known again", async () => {
  const room = `room:${randomUUID()}`;
  const id = randomUUID();
  const { socket } = clients.phoenix({ authToken: sign({ sub: "mai" }), reconnectAfterMs: () => 10 });
  const peer = socket.channel(`peer:${id}`, {}, 10_000);
  await ok(peer.join());
  await ok(socket.channel(room, {}).join());
  const online = async () => (await call("GET", `/v1/peers/${id}`)).online;
  for (const handle of ["peer", "connection", "subject", "topic"]) {
    await until(async () => (await online()) && (await call("GET", `/v1/topics/${room}`)).members === 1, "the client");
    const found = await call("GET", `/v1/peers/${id}`);
    const value = { peer: id, connection: found.connection, subject: found.subject, topic: room }[handle];
    const closed = new Promise((resolve) => socket.onClose(resolve));
    assert.deepEqual(await post("/v1/disconnect", { [handle]: value }), { disconnected: 1 });
    assert.equal((await closed).code, 1001);
    await until(async () => {
      const now = await call("GET", `/v1/peers/${id}`);
      return now.online && now.connection !== found.connection;
    }, `the client to come back after a disconnect by ${handle}`);
  }
});

test("a disconnect for good closes with 1000", async () => {
  const id = randomUUID();
  const { socket, closed } = clients.phoenix({});
  await ok(socket.channel(`peer:${id}`, {}).join());
  assert.deepEqual(await post("/v1/disconnect", { peer: id, reconnect: false }), { disconnected: 1 });
  const { code, reason } = await closed;
  assert.deepEqual([code, String(reason)], [1000, "disconnected by the server"]);
});

test("peerjs and socket.io are disconnected", async () => {
  const name = randomUUID();
  const { open, disconnected } = clients.peerjs(name);
  await open;
  assert.deepEqual(await post("/v1/disconnect", { peer: name, protocol: "peerjs" }), { disconnected: 1 });
  await disconnected;
  const { connected } = clients.socketio("4.x", { reconnection: false });
  const socket = await connected;
  const gone = new Promise((resolve) => socket.on("disconnect", resolve));
  assert.deepEqual(await post("/v1/disconnect", { peer: socket.id, protocol: "socketio" }), { disconnected: 1 });
  await gone;
});

test("a revoked subject is disconnected with the reason, and does not come in again", async () => {
  const authToken = sign({ sub: "tom", iat: Math.floor(Date.now() / 1000) });
  const { socket, closed } = clients.phoenix({ authToken });
  await ok(socket.channel("room:revoked", {}).join());
  assert.deepEqual(await post("/v1/revoke", { subject: "tom" }), { disconnected: 1 });
  const { code, reason } = await closed;
  assert.deepEqual([code, String(reason)], [1008, "token revoked"]);
  const again = await clients.phoenix({ authToken }).closed;
  assert.deepEqual([again.code, String(again.reason)], [1008, "token revoked"]);
});

test("a revoked subject's PeerJS, Socket.IO and library clients are disconnected, and do not come in again", async () => {
  const token = sign({ sub: "ada", iat: Math.floor(Date.now() / 1000) });
  const { open, disconnected } = clients.peerjs(randomUUID(), token);
  await open;
  const ends = [disconnected];
  const options = { "4.x": { auth: { token } }, "2.x": { query: { token } } };
  for (const [version, own] of Object.entries(options)) {
    const socket = await clients.socketio(version, { reconnection: false, ...own }).connected;
    ends.push(new Promise((resolve) => socket.on("disconnect", resolve)));
  }
  const socket = new Socket(broker.socketUrl("socket"), { transport: WebSocket, token });
  ends.push(new Promise((resolve) => socket.on("error", resolve)));
  await socket.channel("room:revoked").join();
  assert.deepEqual(await post("/v1/revoke", { subject: "ada" }), { disconnected: 4 });
  const error = (await Promise.all(ends)).at(-1);
  assert.deepEqual([error.name, error.reason, socket.state], ["TokenError", "token revoked", "closed"]);
  assert.equal(await clients.peerjs(randomUUID(), token).refused, "token revoked");
  for (const [version, own] of Object.entries(options)) {
    assert.equal(await clients.socketio(version, { reconnection: false, ...own }).refused, "token revoked");
  }
});

test("the library stays away after a disconnect for good", async () => {
  const socket = new Socket(broker.socketUrl("socket"), { transport: WebSocket });
  const id = randomUUID();
  await socket.channel(`peer:${id}`).join();
  const refused = new Promise((resolve) => socket.on("error", resolve));
  assert.deepEqual(await post("/v1/disconnect", { peer: id, reconnect: false }), { disconnected: 1 });
  const { name, code } = await refused;
  assert.deepEqual([name, code, socket.state], ["RejectedError", 1000, "closed"]);
});

test("a unix socket needs no key", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-api-"));
  t.after(() => rm(folder, { recursive: true }));
  const socketPath = join(folder, "api.sock");
  const own = await startBroker({ set: { "api.listen": `unix:${socketPath}` } });
  t.after(() => own.kill());
  const text = await new Promise((resolve, reject) => {
    const get = request({ socketPath, path: "/v1/stats" }, async (response) => {
      let body = "";
      for await (const part of response.setEncoding("utf8")) body += part;
      resolve(body);
    });
    get.on("error", reject).end();
  });
  assert.equal(JSON.parse(text).nodes.length, 1, text);
});

// ---- the document

before(() => access(PYTHON).catch(() => assert.fail(`no Python at ${PYTHON}: \`make python\` installs it with the tools`)));

/** Runs a tool of the Python environment in a folder that is removed. Its output is in the error if it fails. */
async function python(...words) {
  const cwd = await mkdtemp(join(tmpdir(), "handclasp-api-"));
  await promisify(execFile)(PYTHON, ["-m", ...words], { cwd, timeout: 120_000 })
    .catch((error) => assert.fail(`${error.message}\n${error.stdout}\n${error.stderr}`))
    .finally(() => rm(cwd, { recursive: true }));
}

test("openapi.json is OpenAPI 3.1", () => python("openapi_spec_validator", OPENAPI));

test("schemathesis finds nothing", async () => {
  const config = ["--config-file", path("schemathesis.toml")];
  const header = ["-H", `Authorization: Bearer ${KEY}`];
  const options = ["--url", api, ...header, "--seed", "1", "--no-color", "--warnings", "off"];
  await python("schemathesis.cli", ...config, "run", OPENAPI, ...options);
  await call("GET", "/v1/stats");
});
