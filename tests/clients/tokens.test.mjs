/** The official clients against a node that requires tokens: they get in, are refused with the reason, and expire. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, afterEach, before, test } from "node:test";
import WebSocket from "ws";
import { BINARY, startBroker } from "../broker.mjs";
import { SECRET, at, sign as signed } from "../tokens/sign.mjs";
import { ok } from "./await.mjs";
import { VERSIONS, clientsOf, LongPoll } from "./token-clients.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;
/** @type {ReturnType<typeof clientsOf>} */
let clients;
const phoenix = (...args) => clients.phoenix(...args);
const socketio = (...args) => clients.socketio(...args);
const peerjs = (...args) => clients.peerjs(...args);
/** What the node logs, at every level, and every token that was signed. */
let log = "";
const tokens = [];

/** @param {Record<string, unknown>} claims */
function sign(claims, secret = SECRET) {
  const token = signed(claims, secret);
  tokens.push(token);
  return token;
}

before(async () => {
  const set = {
    "auth.mode": "required",
    "auth.secrets": SECRET,
    "auth.leeway": "0s",
    "hello.enabled": "true",
    "relay.enabled": "true",
    "peerjs.allow_discovery": "true",
    "log.level": "trace",
    "peer.ice_servers": '[{ urls = "stun:stun.test" }, { urls = "turn:turn.test", secret = "north" }]',
  };
  const withLog = (program, words, options) => {
    const child = spawn(program, words, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (text) => (log += text));
    return child;
  };
  broker = await startBroker({ set, spawn: withLog });
  clients = clientsOf(broker);
});

afterEach(() => clients.end());

after(async () => {
  await broker?.kill();
});

const GOOD = sign({});
const EXPIRED = sign({ exp: at(-5) });
const EARLY = sign({ nbf: at(300) });
const FORGED = sign({}, "another secret of at least 32 bytes, for tests");

// ---- phoenix

for (const [name, options] of Object.entries({
  "authToken by WebSocket": { authToken: GOOD },
  "a param by WebSocket": { params: { token: GOOD } },
  "authToken by long polling": { authToken: GOOD, transport: LongPoll },
  "a param by long polling": { params: { token: GOOD }, transport: LongPoll },
})) {
  test(`phoenix, ${name}: joins, and learns when the token expires`, async () => {
    const { socket } = phoenix(options);
    const peer = await ok(socket.channel(`peer:${randomUUID()}`, {}).join());
    assert.ok(peer.expires_in > 590 && peer.expires_in <= 600, `${peer.expires_in}`);
    const room = await ok(socket.channel("room:a", {}).join());
    assert.deepEqual(Object.keys(room), ["expires_in"]);
  });
}

test("phoenix: an invalid token gets HTTP 403, and one that can be renewed gets the reason", async () => {
  for (const options of [{}, { authToken: FORGED }, { params: { token: "x" } }]) {
    const { failed } = phoenix(options);
    assert.match((await failed).message ?? String(await failed), /403/);
  }
  for (const [token, reason] of [[EXPIRED, "token expired"], [EARLY, "token not yet valid"]]) {
    const { closed } = phoenix({ authToken: token });
    const { code, reason: told } = await closed;
    assert.deepEqual([code, String(told)], [1008, reason]);
  }
});

test("phoenix by long polling: a refused client opens no session", async () => {
  for (const headers of [{}, { "X-Phoenix-AuthToken": EXPIRED }, { "X-Phoenix-AuthToken": FORGED }]) {
    const response = await fetch(`${broker.url}socket/longpoll?vsn=2.0.0`, { headers });
    assert.deepEqual(await response.json(), { status: 403 });
  }
});

test("phoenix: grants are obeyed before it is looked who is there", async () => {
  const mine = randomUUID();
  const claim = { peers: [mine], signal: ["0*"], join: ["team-*"], publish: ["team-1"] };
  const { socket } = phoenix({ authToken: sign({ handclasp: claim }) });
  const refused = { response: { reason: "not allowed" } };
  await assert.rejects(ok(socket.channel(`peer:${randomUUID()}`, {}).join()), refused);
  await assert.rejects(ok(socket.channel("room:other", {}).join()), refused);
  const peer = socket.channel(`peer:${mine}`, {});
  await ok(peer.join());
  const others = { peer_id: "1".repeat(8) + mine.slice(8) };
  for (const event of ["offer", "connect", "watch"]) await assert.rejects(ok(peer.push(event, others)), refused);
  const permitted = { peer_id: "0".repeat(8) + mine.slice(8) };
  await assert.rejects(ok(peer.push("offer", permitted)), { response: { reason: "peer_not_found" } });
  for (const [name, speaks] of [["team-1", true], ["team-2", false]]) {
    const room = socket.channel(`room:${name}`, {});
    await ok(room.join());
    const said = ok(room.push("hello", {}));
    await (speaks ? said : assert.rejects(said, refused));
  }
});

test("phoenix: a client that may only listen tells the others nothing by its presence either", async () => {
  const token = sign({ handclasp: { join: ["hall"], publish: [] } });
  const room = (meta) => phoenix({ authToken: token }).socket.channel("room:hall", { meta });
  const refused = { response: { reason: "not allowed" } };
  await assert.rejects(ok(room({ text: "spam" }).join()), refused);
  const listed = room({});
  await ok(listed.join());
  await assert.rejects(ok(listed.push("update_meta", { text: "spam" })), refused);
});

test("phoenix: a subject takes its id over with another token, and another subject does not", async () => {
  const id = randomUUID();
  const join = (token) => ok(phoenix({ authToken: token }).socket.channel(`peer:${id}`, {}).join());
  await join(sign({}));
  await join(sign({ exp: at(300) }));
  await assert.rejects(join(sign({ sub: "u8" })), { response: { reason: "taken" } });
});

test("phoenix: the connection closes when the token expires", async () => {
  const exp = at(2);
  const { socket, closed } = phoenix({ authToken: sign({ exp }) });
  await ok(socket.channel("room:a", {}).join());
  const { code, reason } = await closed;
  assert.deepEqual([code, String(reason)], [1008, "token expired"]);
  assert.ok(Date.now() / 1000 >= exp, "not before");
});

// ---- Socket.IO

const withToken = {
  "4.x": (token) => ({ auth: { token } }),
  "2.x": (token) => ({ query: { token } }),
  "1.x": (token) => ({ query: `token=${token}` }),
};
for (const version of Object.keys(VERSIONS)) {
  for (const transports of [["polling"], ["websocket"]]) {
    test(`socket.io-client ${version} by ${transports}: in with a token, else refused with the reason`, async () => {
      const open = (token) => socketio(version, { transports, ...(token && withToken[version](token)) });
      const { socket } = { socket: await open(GOOD).connected };
      const answer = await new Promise((resolve) => socket.emit("join", { room: "lobby" }, resolve));
      assert.deepEqual(answer, {});
      for (const [token, reason] of [
        ["", "token missing"],
        [FORGED, "token invalid"],
        [EXPIRED, "token expired"],
        [EARLY, "token not yet valid"],
      ]) {
        assert.equal(await open(token).refused, reason);
      }
    });
  }
}

test("socket.io-client 0.9: the handshake's query has the token", async () => {
  const answer = async (token) => {
    const handshake = await (await fetch(`${broker.url}socket.io/1/?token=${token}`)).text();
    const url = `${broker.url}socket.io/1/xhr-polling/${handshake.split(":")[0]}`;
    return (await fetch(url)).text();
  };
  assert.equal(await answer(GOOD), "1::");
  for (const token of ["", FORGED, EXPIRED]) assert.equal(await answer(token), "7:::2");
});

test("socket.io-client: a header is enough, and grants are obeyed", async () => {
  const claim = { join: ["/", "team-*"], signal: [], publish: ["team-1"] };
  const extraHeaders = { Authorization: `Bearer ${sign({ handclasp: claim })}` };
  const socket = await socketio("4.x", { extraHeaders }).connected;
  const ask = (event, ...args) => new Promise((resolve) => socket.emit(event, ...args, resolve));
  const refused = { reason: "not allowed" };
  assert.deepEqual(await ask("message", "to all"), refused);
  assert.deepEqual(await ask("join", { room: "other" }), refused);
  assert.deepEqual(await ask("enter", "other"), refused);
  assert.deepEqual(await ask("signal", { to: "a" }), refused);
  assert.deepEqual(await ask("message", { sendto: "a" }), refused);
  assert.deepEqual(await ask("join", { room: "team-2" }), {});
  assert.deepEqual(await ask("message", "to the room"), refused);
  const other = await socketio("4.x", { auth: { token: GOOD } }).connected;
  await new Promise((resolve) => other.emit("join", { room: "team-1" }, resolve));
  const heard = new Promise((resolve) => other.on("message", resolve));
  assert.deepEqual(await ask("join", { room: "team-1" }), {});
  socket.emit("message", "to the rooms in which it may speak");
  assert.equal(await heard, "to the rooms in which it may speak");
  assert.equal(await socketio("4.x", { auth: { token: sign({ handclasp: {} }) } }).refused, "not allowed");
});

test("socket.io-client: what a client says after a room was refused reaches no client", async () => {
  const open = (token) => socketio("4.x", { auth: { token } }).connected;
  const [listener, speaker, last] = await Promise.all([GOOD, sign({ handclasp: { join: ["/", "team-7"] } }), GOOD].map(open));
  const heard = [];
  const heardLast = new Promise((resolve) => listener.on("message", (text) => heard.push(text) && text === "to all" && resolve()));
  speaker.emit("join", { room: "team-8" });
  speaker.emit("message", "to team 8");
  await new Promise((resolve) => speaker.emit("join", { room: "team-7" }, resolve));
  last.emit("message", "to all");
  await heardLast;
  assert.deepEqual(heard, ["to all"]);
});

test("socket.io-client: the connection closes when the token expires", async () => {
  const exp = at(2);
  const socket = await socketio("4.x", { auth: { token: sign({ exp }) }, transports: ["websocket"] }).connected;
  assert.equal(await new Promise((resolve) => socket.on("disconnect", resolve)), "transport close");
  assert.ok(Date.now() / 1000 >= exp, "not before");
});

// ---- PeerJS

test("peerjs: in with a token, else refused with the reason", async () => {
  const id = `u7-${randomUUID()}`;
  assert.equal(await peerjs(id, GOOD).open, id);
  for (const [token, reason] of [
    [undefined, "token invalid"], // it sends a random text
    [FORGED, "token invalid"],
    [EXPIRED, "token expired"],
    [EARLY, "token not yet valid"],
    [sign({ handclasp: { peers: ["other"] } }), "not allowed"],
  ]) {
    assert.equal(await peerjs(id, token).refused, reason);
  }
});

test("peerjs 0.3: a refused client gets no stream", async () => {
  const open = async (token) => {
    const response = await fetch(`${broker.url}peerjs/u7-${randomUUID()}/${token}/id?i=0`, { method: "POST" });
    const { value } = await response.body.getReader().read();
    return String.fromCharCode(...value.slice(0, 16));
  };
  for (const token of ["x", FORGED, EXPIRED]) assert.match(await open(token), /HTTP-ER/);
  assert.match(await open(GOOD), /^0000/);
});

test("peerjs: a peer that the token does not permit is as good as absent", async () => {
  const other = peerjs(`other-${randomUUID()}`, sign({ sub: "u8" }));
  const theirs = await other.open;
  const me = peerjs(`u7-${randomUUID()}`, sign({ handclasp: { peers: ["u7-*"], signal: ["u7-*"] } }));
  await me.open;
  other.peer.on("connection", () => assert.fail("the offer has arrived"));
  me.peer.connect(theirs);
  assert.match(await me.refused, new RegExp(`Could not connect to peer ${theirs}`));
});

test("peerjs: the connection closes when the token expires", async () => {
  const exp = at(2);
  const { open, disconnected } = peerjs(`u7-${randomUUID()}`, sign({ exp }));
  await open;
  await disconnected;
  assert.ok(Date.now() / 1000 >= exp, "not before");
});

// ---- what has no place for a token

test("HelloWebRTC, the plain relay and the list of PeerJS ids are closed", async () => {
  assert.equal((await fetch(`${broker.url}peerjs/peers`)).status, 401);
  for (const path of ["hello", "relay", ""]) {
    const socket = new WebSocket(broker.socketUrl(path));
    const refused = await new Promise((resolve) => {
      socket.on("unexpected-response", (_, { statusCode }) => resolve(statusCode));
      socket.on("open", () => resolve("open"));
    });
    socket.on("error", () => {}).terminate();
    assert.equal(refused, path === "" ? 200 : 404, `/${path}`);
  }
});

// ---- ICE

test("the ICE servers need a token, and those with credentials the grant", async () => {
  const ask = async (token) => {
    const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
    const response = await fetch(`${broker.url}ice`, { headers });
    return [response.status, await response.text()];
  };
  assert.deepEqual(await ask(""), [403, "token missing"]);
  assert.deepEqual(await ask(EXPIRED), [403, "token expired"]);
  const [status, text] = await ask(GOOD);
  const servers = JSON.parse(text).iceServers;
  assert.deepEqual([status, servers.length], [200, 2]);
  const expiry = Number(servers[1].username.split(":")[0]);
  assert.ok(expiry <= at(601), "credentials are valid no longer than the token");
  const without = JSON.parse((await ask(sign({ handclasp: { turn: false } })))[1]).iceServers;
  assert.deepEqual(without, [{ urls: ["stun:stun.test"] }]);
});

// ---- the command, the documentation and the log

/** Runs the command `handclasp token` with the secret of the tests. */
function command(words, input = "") {
  const env = { ...process.env, HANDCLASP_AUTH_SECRETS: SECRET };
  const { stdout, stderr, status } = spawnSync(BINARY, ["token", ...words], { env, input, encoding: "utf8" });
  return { stdout: stdout.trim(), stderr: stderr.trim(), status };
}

test("the command signs tokens and says what they permit", async () => {
  const { stdout: token } = command(["--sub", "u8", "--peers", "u8", "u8-*", "--join", "*", "--publish", "--ttl", "90m"]);
  const { stdout } = command(["--check"], `${token}\n`);
  const shown = stdout.replace(/expires {2}in 1h (30m|29m 5\ds)/, "expires  soon");
  const expected = ['ok       "u8"', "expires  soon", "peers    u8, u8-*", "signal   none", "join     all", "publish  none"];
  assert.deepEqual(shown.split("\n"), [...expected, "info     none", "turn     yes"]);
  assert.match(command(["--check", command(["--sub", "u8"]).stdout]).stdout, /^peers {4}all$/m);
  for (const [wrong, why] of [
    [EXPIRED, /token expired: `exp` is over$/],
    [FORGED, /token invalid: its signature does not fit any key$/],
    ["a.b", /token invalid: it is not a JWT/],
  ]) {
    const { stderr, status } = command(["--check"], wrong);
    assert.match(stderr, why);
    assert.ok(status === 1 && !stderr.includes(wrong), stderr);
  }
});

test("the examples of the documentation sign tokens that are accepted", async () => {
  const page = await readFile(new URL("../../web/docs/tokens.md", import.meta.url), "utf8");
  const example = (language) => page.split(`\`\`\`${language}\n`)[1].split("```")[0];
  const env = { ...process.env, HANDCLASP_AUTH_SECRETS: SECRET };
  for (const [program, ...words] of [
    ["node", "--input-type=module", "--eval", example("js")],
    ["python3", "-c", example("python")],
  ]) {
    const { stdout, stderr } = spawnSync(program, words, { env, encoding: "utf8" });
    const checked = command(["--check"], stdout);
    assert.match(checked.stdout, /^ok {7}"u7"\n.*\npeers {4}u7, u7-\*\nsignal {3}all\njoin {5}team-7-\*/, stderr);
  }
});

test("no line of the log contains a token", () => {
  assert.ok(log.includes("refused with 403: token_invalid"), "the log has the refusals");
  const signatures = tokens.map((token) => token.slice(token.lastIndexOf(".") + 1));
  for (const secret of [SECRET, ...signatures]) assert.ok(!log.includes(secret), log);
});
