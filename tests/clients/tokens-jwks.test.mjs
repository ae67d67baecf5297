/** Tokens by a JWK Set at a URL: keys of each kind, a new key while clients are connected, and a URL that fails. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { generateKeyPairSync, sign as signWith } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, test } from "node:test";
import { promisify } from "node:util";
import WebSocket from "ws";
import { BINARY, startBroker } from "../broker.mjs";
import { jwt } from "../tokens/sign.mjs";
import { ok } from "./await.mjs";
import { clientsOf } from "./token-clients.mjs";

const KINDS = {
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2_048 }),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: () => generateKeyPairSync("ed25519"),
};

/** A key pair, with what signs a token by it. */
function pair(alg, kid) {
  const { publicKey, privateKey } = KINDS[alg]();
  const key = { key: privateKey, dsaEncoding: "ieee-p1363" };
  const signature = (message) => signWith(alg === "EdDSA" ? null : "sha256", Buffer.from(message), key);
  return { jwk: { ...publicKey.export({ format: "jwk" }), kid }, sign: () => jwt({ alg, kid }, {}, signature) };
}

const pairs = Object.keys(KINDS).map((alg) => pair(alg, alg));
/** What the URL answers, and how often it was asked. */
let answer = { status: 200, body: JSON.stringify({ keys: pairs.map(({ jwk }) => jwk) }) };
let asked = 0;
let server, broker, clients, url;

before(async () => {
  server = createServer((_, response) => {
    asked += 1;
    response.writeHead(answer.status).end(answer.body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${server.address().port}/keys`;
  const crowd = { "auth.sockets_per_subject": 2_000, "limits.sockets_per_ip": 2_000, "limits.connects_burst": 4_000 };
  broker = await startBroker({ set: { "auth.mode": "required", "auth.jwks": url, ...crowd } });
  clients = clientsOf(broker);
});

afterEach(() => clients.end());

after(async () => {
  await broker?.kill();
  server?.close();
});

const join = async (token) => {
  const { socket, failed } = clients.phoenix({ authToken: token });
  const joined = ok(socket.channel("room:a", {}).join()).then(() => "");
  return Promise.race([joined, failed.then(({ message }) => message)]);
};

test("a key of each kind signs tokens, and the command checks them", async () => {
  for (const { sign } of pairs) {
    assert.equal(await join(sign()), "");
    const words = ["token", "--check", "--set", `auth.jwks=${url}`, sign()];
    const { stdout } = await promisify(execFile)(BINARY, words);
    assert.match(stdout, /^ok {7}"u7"/);
  }
});

/** A connection that has joined a room. */
async function connected(token) {
  const socket = new WebSocket(`${broker.socketUrl("socket")}/websocket?vsn=2.0.0&token=${token}`);
  await once(socket, "open");
  socket.send(JSON.stringify(["1", "1", "room:crowd", "phx_join", {}]));
  await once(socket, "message");
  return socket;
}

test("an unknown key is refused, and read within 30 s; clients with a key that is gone stay", { timeout: 90_000 }, async (t) => {
  const [old, fresh] = [pairs[0], pair("ES256", "fresh")];
  /** @type {WebSocket[]} */
  const crowd = [];
  t.after(() => crowd.forEach((socket) => socket.terminate()));
  while (crowd.length < 1_000) crowd.push(...(await Promise.all(Array.from({ length: 50 }, () => connected(old.sign())))));
  const before = asked;
  answer = { status: 200, body: JSON.stringify({ keys: [...pairs.slice(1).map(({ jwk }) => jwk), fresh.jwk] }) };
  let refusals = 0;
  for (;;) {
    const response = await fetch(`${broker.url}ice`, { headers: { Authorization: `Bearer ${fresh.sign()}` } });
    if (response.status === 200) break;
    assert.equal(await response.text(), "token key unknown");
    refusals += 1;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  assert.ok(refusals > 1 && asked - before <= 2, `${refusals} refusals caused ${asked - before} requests`);
  assert.notEqual(await join(old.sign()), "", "nobody connects with the old key");
  const heard = Promise.all(crowd.slice(1).map((socket) => new Promise((resolve) => {
    socket.on("message", (text) => String(text).includes("still here") && resolve(true));
    socket.on("close", () => resolve(false));
  })));
  crowd[0].send(JSON.stringify(["1", "2", "room:crowd", "shout", { text: "still here" }]));
  assert.equal((await heard).filter(Boolean).length, 999, "connected clients do not notice");
  answer = { status: 500, body: "" };
  assert.equal(await join(fresh.sign()), "", "the keys that were read stay");
});
