/** The proof: who holds the key and speaks over the same session passes, nobody else. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Link, prove } from "../../web/lib/index.js";
import { fingerprintsOf, sign, verify } from "../../web/lib/share/key-proof.js";
import { FakeClock, fakeChannelPair } from "./fakes.mjs";

const key = new Uint8Array(randomBytes(16));
const A = "sha-256 AA:AA";
const B = "sha-256 BB:BB";

function setUp() {
  const clock = new FakeClock();
  const ends = fakeChannelPair();
  const [sharer, receiver] = ends.map((end) => new Link(end, { clock }));
  return { clock, ends, sharer, receiver };
}

const asSharer = (options = {}) => ({ key, role: "sharer", fingerprints: { own: A, other: B }, ...options });
const asReceiver = (options = {}) => ({ key, role: "receiver", fingerprints: { own: B, other: A }, ...options });
const said = (end) => end.received.map((text) => JSON.parse(text).type);

test("the same key over the same session passes on both sides", async () => {
  const { ends, sharer, receiver } = setUp();
  await Promise.all([prove(sharer, asSharer()), prove(receiver, asReceiver())]);
  assert.deepEqual([said(ends[0]), said(ends[1])], [["hello", "proof"], ["hello", "proof"]]);
});

for (const [title, options] of [
  ["another key", { key: new Uint8Array(16) }],
  ["another own fingerprint", { fingerprints: { own: "sha-256 CC:CC", other: A } }],
  ["another fingerprint of the other side", { fingerprints: { own: B, other: "sha-256 CC:CC" } }],
  ["one fingerprint more", { fingerprints: { own: B, other: `${A},sha-256 CC:CC` } }],
]) {
  test(`${title} is refused on both sides, and the sharer proves nothing`, async () => {
    const { ends, sharer, receiver } = setUp();
    const results = await Promise.allSettled([prove(sharer, asSharer()), prove(receiver, asReceiver(options))]);
    assert.deepEqual(results.map(({ reason }) => reason?.reason), ["wrong_key", "wrong_key"]);
    assert.deepEqual(said(ends[1]), ["hello", "refused"]);
  });
}

test("a proof cannot be mirrored", async () => {
  const { sharer, receiver } = setUp();
  const refused = assert.rejects(prove(sharer, asSharer({ fingerprints: { own: A, other: A } })), { reason: "wrong_key" });
  for (;;) {
    const message = await receiver.next();
    receiver.send(message.type === "hello" ? message : { type: "proof", mac: "AAAA" });
    if (message.type === "hello") receiver.send({ type: "proof", mac: "AAAA" });
    else break;
  }
  await refused;
});

test("who only receives does not make the sharer say more than hello", async () => {
  const { clock, ends, sharer } = setUp();
  const proof = assert.rejects(prove(sharer, asSharer()), { name: "TimeoutError" });
  await clock.advance(10_000);
  await proof;
  assert.deepEqual(said(ends[1]), ["hello"]);
});

for (const [title, messages] of [
  ["no hello", [{ type: "proof", mac: "" }]],
  ["a short nonce", [{ type: "hello", nonce: "AAAA" }]],
  ["a nonce that is no text", [{ type: "hello", nonce: 7 }]],
  ["a pull in place of a proof", [{ type: "hello", nonce: "A".repeat(22) }, { type: "pull", piece: 0 }]],
]) {
  test(`${title} breaks the protocol`, async () => {
    const { sharer, receiver } = setUp();
    for (const message of messages) receiver.send(message);
    await assert.rejects(prove(sharer, asSharer()), { name: "ProtocolError" });
  });
}

test("a proof is bound to role, fingerprints and nonces", async () => {
  const side = { role: "sharer", fingerprints: { own: A, other: B }, nonces: { sharer: "1", receiver: "2" } };
  const mac = await sign(key, side);
  assert.equal(await verify(key, side, mac), true);
  for (const other of [
    { ...side, role: "receiver" },
    { ...side, fingerprints: { own: B, other: A } },
    { ...side, nonces: { sharer: "2", receiver: "1" } },
    { ...side, nonces: { sharer: "12", receiver: "" } },
  ]) {
    assert.equal(await verify(key, other, mac), false);
  }
  for (const junk of [undefined, 5, "", "!", `${mac}A`]) assert.equal(await verify(key, side, junk), false);
});

test("all fingerprints of a description count, in a canonical form", () => {
  const one = "v=0\r\na=fingerprint:SHA-256 aa:bb\r\nm=x\r\na=fingerprint:sha-256 AA:BB\r\n";
  assert.equal(fingerprintsOf(one), "sha-256 AA:BB");
  assert.equal(fingerprintsOf(`${one}a=fingerprint:sha-512 00:11\r\n`), "sha-256 AA:BB,sha-512 00:11");
  assert.throws(() => fingerprintsOf("v=0\r\n"), { name: "ProtocolError" });
});
