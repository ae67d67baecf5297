/** What becomes of a client's token after it has connected, and of clients without one in mode "turn". */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import WebSocket from "ws";
import { Socket } from "../../web/lib/index.js";
import { startBroker } from "../broker.mjs";
import { SECRET, at, sign } from "../tokens/sign.mjs";
import { ok } from "./await.mjs";
import { disconnect } from "./phoenix-clients.mjs";
import { clientsOf } from "./token-clients.mjs";

/** @type {import("../broker.mjs").Broker[]} */
let brokers;
/** The clients of a node that requires tokens, and of one in mode "turn". */
let required, turn;
let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "handclasp-tokens-"));
  const revoked = [
    { subject: "leaver", before: at(0), at: at(0) },
    { token_id: "stolen", before: at(0), at: at(0) },
  ];
  const revocations = join(folder, "revocations");
  await writeFile(revocations, revoked.map((one) => `${JSON.stringify(one)}\n`).join(""));
  const set = {
    "auth.secrets": SECRET,
    "auth.leeway": "0s",
    "auth.sockets_per_subject": 3,
    "auth.revocations": revocations,
    "peer.ice_servers": '[{ urls = "stun:stun.test" }, { urls = "turn:turn.test", secret = "north" }]',
  };
  brokers = await Promise.all(["required", "turn"].map((mode) => {
    // each node has a file of its own
    const file = mode === "turn" ? { "auth.revocations": "" } : {};
    return startBroker({ set: { ...set, "auth.mode": mode, ...file } });
  }));
  [required, turn] = brokers.map(clientsOf);
});

afterEach(() => [required, turn].forEach((clients) => clients.end()));

after(async () => {
  for (const broker of brokers ?? []) await broker.kill();
  if (folder) await rm(folder, { recursive: true });
});

// ---- refresh

/** Waits until a token that expires at this time has ended another connection: then it would have ended this one, too. */
async function hasExpired(exp) {
  const { reason } = await required.phoenix({ authToken: sign({ sub: "witness", exp }) }).closed;
  assert.equal(String(reason), "token expired");
}

test("phoenix: a fresh token keeps the connection open, on whichever topic it comes", async () => {
  const exp = at(3);
  const { socket, closed } = required.phoenix({ authToken: sign({ sub: "r1", exp }) });
  const room = socket.channel("room:a", {});
  await ok(room.join());
  const peer = socket.channel(`peer:${randomUUID()}`, {});
  await ok(peer.join());
  const { expires_in } = await ok(peer.push("access_token", { access_token: sign({ sub: "r1", exp: at(60) }) }));
  assert.ok(expires_in >= 58 && expires_in <= 60, `${expires_in}`);
  let isOpen = true;
  closed.then(() => (isOpen = false));
  await hasExpired(exp);
  await ok(room.push("still", {}));
  assert.ok(isOpen, "the first token has expired");
  const { expires_in: left } = await ok(socket.channel("room:b", {}).join());
  assert.ok(left > 50, "a later join tells the new time");
  // and a shorter one shortens it
  await ok(room.push("access_token", { access_token: sign({ sub: "r1", exp: at(1) }) }));
  const { code, reason } = await closed;
  assert.deepEqual([code, String(reason)], [1008, "token expired"]);
});

test("phoenix: a fresh token is refused with its reason, and the old one stays", async () => {
  const { socket } = required.phoenix({ authToken: sign({ sub: "r2" }) });
  const room = socket.channel("room:a", {});
  await ok(room.join());
  for (const [fresh, reason] of [
    [{ access_token: sign({ sub: "r2", exp: at(-1) }) }, "token expired"],
    [{ access_token: sign({ sub: "r2" }, "another secret of at least 32 bytes, for tests") }, "token invalid"],
    [{ access_token: sign({ sub: "another" }) }, "not allowed"],
    [{ access_token: sign({ sub: "r2", iss: "another" }) }, "not allowed"],
    [{ access_token: sign({ sub: "r2", jti: "stolen", iat: at(-3600) }) }, "token revoked"],
    [{ token: "x" }, "token missing"],
    [{ access_token: "" }, "token missing"],
  ]) {
    await assert.rejects(ok(room.push("access_token", fresh)), { response: { reason } });
  }
  await ok(room.push("hello", {}));
});

test("the tenth refused token closes the connection", async () => {
  const { socket, closed } = required.phoenix({ authToken: sign({ sub: "r6" }) });
  const room = socket.channel("room:a", {});
  await ok(room.join());
  for (let n = 0; n < 10; n += 1) room.push("access_token", { access_token: `${n}` });
  const { code, reason } = await closed;
  assert.deepEqual([code, String(reason)], [1008, "too many refused tokens"]);
});

test("phoenix: the same grants in another order are the same", async () => {
  const token = (join) => sign({ sub: "r7", handclasp: { join } });
  const { socket, closed } = required.phoenix({ authToken: token(["a", "b"]) });
  const room = socket.channel("room:a", {});
  await ok(room.join());
  await ok(room.push("access_token", { access_token: token(["b", "a", "b"]) }));
  let isOpen = true;
  closed.then(() => (isOpen = false));
  await ok(room.push("still", {}));
  assert.ok(isOpen, "a client that has to connect again would send its push again");
});

test("phoenix: a fresh token does not reach the others in the room", async () => {
  const join = async (sub) => {
    const room = required.phoenix({ authToken: sign({ sub }) }).socket.channel("room:quiet", {});
    await ok(room.join());
    return room;
  };
  const [mine, other] = [await join("r3"), await join("r4")];
  other.on("access_token", () => assert.fail("the token was broadcast"));
  const heard = new Promise((resolve) => other.on("after", resolve));
  await ok(mine.push("access_token", { access_token: sign({ sub: "r3" }) }));
  await ok(mine.push("after", {}));
  await heard;
});

test("phoenix: a token with other grants is accepted, and the client connects again with it", async () => {
  const token = sign({ sub: "r5", handclasp: { join: ["a", "b"] } });
  const { socket, closed } = required.phoenix({ authToken: sign({ sub: "r5", handclasp: { join: ["a"] } }) });
  const room = socket.channel("room:a", {});
  await ok(room.join());
  assert.ok((await ok(room.push("access_token", { access_token: token }))).expires_in > 590);
  const { code } = await closed;
  assert.equal(code, 1001);
  const again = required.phoenix({ authToken: token });
  await ok(again.socket.channel("room:b", {}).join());
});

test("socket.io-client: a fresh token keeps the connection open", async () => {
  for (const version of ["4.x", "2.x"]) {
    const exp = at(3);
    const token = sign({ sub: `s${version}`, exp });
    const options = version === "4.x" ? { auth: { token } } : { query: { token } };
    const socket = await required.socketio(version, options).connected;
    const ask = (event, ...args) => new Promise((resolve) => socket.emit(event, ...args, resolve));
    assert.deepEqual(await ask("access_token", sign({ sub: "another" })), { reason: "not allowed" });
    assert.deepEqual(await ask("access_token", { access_token: "x" }), { reason: "token invalid" });
    assert.ok((await ask("access_token", sign({ sub: `s${version}`, exp: at(60) }))).expires_in > 55);
    let ended = "";
    socket.on("disconnect", (why) => (ended = why));
    await hasExpired(exp);
    assert.deepEqual(await ask("access_token", sign({ sub: "another" })), { reason: "not allowed" });
    assert.equal(ended, "", version);
  }
});

test("peerjs: a client with a fresh token reconnects under its id", async () => {
  const id = `p-${randomUUID()}`;
  const { peer, open, disconnected } = required.peerjs(id, sign({ sub: "p1", exp: at(2) }));
  await open;
  await disconnected;
  peer.options.token = sign({ sub: "p1" });
  const reopened = new Promise((resolve) => peer.on("open", resolve));
  peer.reconnect();
  assert.equal(await reopened, id);
});

// ---- the end of a token, over HTTP

test("phoenix by long polling: the session ends when the token expires, and a new one is refused", async () => {
  const exp = at(2);
  const headers = { "X-Phoenix-AuthToken": sign({ sub: "e1", exp }) };
  const poll = async (token = "") => {
    const response = await fetch(`${brokers[0].url}socket/longpoll?vsn=2.0.0&token=${token}`, { headers });
    return response.json();
  };
  const { token, status } = await poll();
  assert.equal(status, 410);
  let answer;
  do answer = await poll(token);
  while (answer.status === 204);
  assert.deepEqual(answer, { status: 403 });
  assert.ok(Date.now() / 1000 >= exp, "not before");
});

test("socket.io-client by polling: the connection closes when the token expires", async () => {
  for (const version of ["4.x", "2.x", "1.x"]) {
    const exp = at(2);
    const token = sign({ sub: `e2${version}`, exp });
    const query = version === "1.x" ? `token=${token}` : { token };
    const options = version === "4.x" ? { auth: { token } } : { query };
    const { connected } = required.socketio(version, { transports: ["polling"], reconnection: false, ...options });
    const socket = await connected;
    await new Promise((resolve) => socket.on("disconnect", resolve));
    assert.ok(Date.now() / 1000 >= exp, `${version}: not before`);
  }
});

test("socket.io-client 0.9: the poll ends when the token expires", async () => {
  const exp = at(2);
  const token = sign({ sub: "e3", exp });
  const handshake = await (await fetch(`${brokers[0].url}socket.io/1/?token=${token}`)).text();
  const url = `${brokers[0].url}socket.io/1/xhr-polling/${handshake.split(":")[0]}`;
  assert.equal(await (await fetch(url)).text(), "1::");
  assert.equal(await (await fetch(url)).text(), "0::");
  assert.ok(Date.now() / 1000 >= exp, "not before");
});

test("peerjs 0.3: the stream ends when the token expires", async () => {
  const exp = at(2);
  const token = sign({ sub: "e4", exp });
  const url = `${brokers[0].url}peerjs/e4-${randomUUID()}/${token}/id?i=0`;
  const { body } = await fetch(url, { method: "POST" });
  let heard = "";
  // the stream is cut off
  await assert.rejects(async () => {
    for await (const bytes of body) heard += Buffer.from(bytes).toString("latin1");
  });
  assert.match(heard, /OPEN/);
  assert.ok(Date.now() / 1000 >= exp, "not before");
});

// ---- refusals that need a state

test("phoenix: revoked tokens are refused with the reason, and later ones of the subject are not", async () => {
  for (const claims of [{ sub: "leaver" }, { sub: "leaver", iat: at(-3600) }, { jti: "stolen" }]) {
    const { code, reason } = await required.phoenix({ authToken: sign(claims) }).closed;
    assert.deepEqual([code, String(reason)], [1008, "token revoked"]);
  }
  const { socket } = required.phoenix({ authToken: sign({ sub: "leaver", iat: at(0) }) });
  await ok(socket.channel("room:a", {}).join());
});

test("each subject has a number of sockets at most", async () => {
  /** @returns {Promise<string>} why it is refused, or "" */
  const refusal = async () => {
    const { socket, failed } = required.phoenix({ authToken: sign({ sub: "many" }) });
    const joined = ok(socket.channel("room:a", {}).join());
    const why = await Promise.race([joined.then(() => ""), failed.then(({ message }) => message)]);
    if (why) await disconnect(socket); // it would try again
    return why;
  };
  for (let n = 0; n < 3; n += 1) assert.equal(await refusal(), "");
  assert.match(await refusal(), /429/);
  assert.equal(await required.peerjs(`m-${randomUUID()}`, sign({ sub: "many" })).refused, "too many sockets");
  assert.equal(await required.socketio("4.x", { auth: { token: sign({ sub: "many" }) } }).refused, "too many sockets");
  await ok(required.phoenix({ authToken: sign({ sub: "other" }) }).socket.channel("room:a", {}).join());
  required.end();
  // a place is free once the node has seen that a client is gone
  while (await refusal());
});

test("the library says that its subject has too many sockets, and connects once one is free", async () => {
  const token = sign({ sub: "crowd" });
  const crowd = Array.from({ length: 3 }, () => required.phoenix({ authToken: token }));
  for (const { socket } of crowd) await ok(socket.channel("room:a", {}).join());
  const socket = new Socket(brokers[0].socketUrl("socket"), { transport: WebSocket, token, random: () => 0 });
  const refused = new Promise((resolve) => socket.on("error", resolve));
  const joined = socket.channel("room:a").join();
  const { name, reason } = await refused;
  assert.deepEqual([name, reason], ["TokenError", "too many sockets"]);
  await disconnect(crowd[0].socket);
  await joined;
  socket.disconnect();
});

// ---- presence

test("phoenix: what a token says about its subject stands in the presence list, and nothing else does", async () => {
  const token = sign({ sub: "u9", handclasp: { join: ["*"], info: { name: "Mai", team: 7 } } });
  const room = (meta) => required.phoenix({ authToken: token }).socket.channel("room:list", { meta });
  const refused = { response: { reason: "invalid meta" } };
  await assert.rejects(ok(room({ info: { name: "Admin" } }).join()), refused);
  const listed = room({ color: "red" });
  /** The rows of the subject, as the list and its changes tell them. */
  const rows = [];
  let told = () => {};
  const tell = (list) => list.u9 && (rows.push(...list.u9.metas), told());
  listed.on("presence_state", tell);
  listed.on("presence_diff", ({ joins }) => tell(joins));
  const row = async (color) => {
    while (!rows.some((meta) => meta.color === color)) await new Promise((resolve) => (told = resolve));
    return rows.find((meta) => meta.color === color).info;
  };
  await ok(listed.join());
  assert.deepEqual(await row("red"), { name: "Mai", team: 7 });
  await assert.rejects(ok(listed.push("update_meta", { info: 1 })), refused);
  await ok(listed.push("update_meta", { color: "blue" }));
  assert.deepEqual(await row("blue"), { name: "Mai", team: 7 });
  for (const client of [required.phoenix({ authToken: sign({ sub: "u10" }) }), turn.phoenix({})]) {
    await assert.rejects(ok(client.socket.channel("room:list", { meta: { info: 1 } }).join()), refused);
  }
});

// ---- mode "turn"

const STUN = [{ urls: ["stun:stun.test"] }];

test("mode turn, phoenix: clients without a token get everything but TURN credentials", async () => {
  const join = async (options) => {
    const { socket } = turn.phoenix(options);
    const { ice_servers, expires_in } = await ok(socket.channel(`peer:${randomUUID()}`, {}).join());
    return [ice_servers.length, typeof expires_in];
  };
  assert.deepEqual(await join({}), [1, "undefined"]);
  assert.deepEqual(await join({ authToken: sign({}) }), [2, "number"]);
  assert.deepEqual(await join({ authToken: sign({ handclasp: { peers: ["*"], turn: false } }) }), [1, "number"]);
  const { code, reason } = await turn.phoenix({ authToken: sign({ exp: at(-1) }) }).closed;
  assert.deepEqual([code, String(reason)], [1008, "token expired"]);
  assert.match(String((await turn.phoenix({ authToken: "x" }).failed).message), /403/);
});

test("mode turn, phoenix: a client without a token that sends one connects again with it", async () => {
  const { socket, closed } = turn.phoenix({});
  const room = socket.channel("room:a", {});
  await ok(room.join());
  await ok(room.push("access_token", { access_token: sign({}) }));
  assert.equal((await closed).code, 1001);
});

test("mode turn, Socket.IO and PeerJS: a token is optional, and a wrong one is refused", async () => {
  const servers = async (options) => {
    const socket = await turn.socketio("4.x", options).connected;
    return (await new Promise((resolve) => socket.emit("ice", resolve))).iceServers;
  };
  assert.deepEqual(await servers({}), STUN);
  assert.equal((await servers({ auth: { token: sign({}) } })).length, 2);
  assert.equal(await turn.socketio("4.x", { auth: { token: "x" } }).refused, "token invalid");
  const id = `t-${randomUUID()}`;
  assert.equal(await turn.peerjs(id).open, id, "with its random text");
  assert.equal(await turn.peerjs(`u-${id}`, sign({})).open, `u-${id}`);
  assert.equal(await turn.peerjs(`v-${id}`, sign({ exp: at(-1) })).refused, "token expired");
});

test("mode turn: /ice tells the servers without credentials to clients without a token", async () => {
  const ask = async (token) => {
    const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
    const response = await fetch(`${brokers[1].url}ice`, { headers });
    return response.status === 200 ? (await response.json()).iceServers : response.text();
  };
  assert.deepEqual(await ask(""), STUN);
  assert.equal((await ask(sign({}))).length, 2);
  assert.equal(await ask("x.y.z"), "token invalid");
});
