/** The proof: it succeeds only with the same key over the same session. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { fingerprintsOf } from "../../web/lib/rtc/fingerprints.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { prove } from "../../web/lib/share/index.js";
import { signProof, verifyProof } from "../../web/lib/share/key-proof.js";
import { FakeClock, fakeChannelPair } from "./fakes.mjs";

const key = new Uint8Array(randomBytes(16));
const A = "sha-256 AA:AA";
const B = "sha-256 BB:BB";

function setUp() {
  const clock = new FakeClock();
  const ends = fakeChannelPair();
  const [sharer, receiver] = ends.map((end) => new RtcMessageChannel(end, { clock }));
  return { clock, ends, sharer, receiver };
}

const asSharer = (options = {}) => ({ key, role: "sharer", fingerprints: { local: A, remote: B }, ...options });
const asReceiver = (options = {}) => ({ key, role: "receiver", fingerprints: { local: B, remote: A }, ...options });
const said = (end) => end.received.map((text) => JSON.parse(text).type);

test("the same key over the same session succeeds on both sides", async () => {
  const { ends, sharer, receiver } = setUp();
  await Promise.all([prove(sharer, asSharer()), prove(receiver, asReceiver())]);
  assert.deepEqual([said(ends[0]), said(ends[1])], [["hello", "proof"], ["hello", "proof"]]);
});

for (const [title, options] of [
  ["another key", { key: new Uint8Array(16) }],
  ["another own fingerprint", { fingerprints: { local: "sha-256 CC:CC", remote: A } }],
  ["another fingerprint of the other side", { fingerprints: { local: B, remote: "sha-256 CC:CC" } }],
  ["one fingerprint more", { fingerprints: { local: B, remote: `${A},sha-256 CC:CC` } }],
]) {
  test(`${title} fails on both sides, and the sharer sends no proof`, async () => {
    const { ends, sharer, receiver } = setUp();
    const results = await Promise.allSettled([prove(sharer, asSharer()), prove(receiver, asReceiver(options))]);
    assert.deepEqual(results.map(({ reason }) => reason?.reason), ["wrong_key", "wrong_key"]);
    assert.deepEqual(said(ends[1]), ["hello", "refused"]);
  });
}

test("a proof cannot be sent back", async () => {
  const { sharer, receiver } = setUp();
  const refused = assert.rejects(prove(sharer, asSharer({ fingerprints: { local: A, remote: A } })), { reason: "wrong_key" });
  for (;;) {
    const message = await receiver.receive();
    receiver.send(message.type === "hello" ? message : { type: "proof", mac: "AAAA" });
    if (message.type === "hello") receiver.send({ type: "proof", mac: "AAAA" });
    else break;
  }
  await refused;
});

test("a receiver that sends nothing gets only hello from the sharer", async () => {
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
  test(`${title} is a protocol error`, async () => {
    const { sharer, receiver } = setUp();
    for (const message of messages) receiver.send(message);
    await assert.rejects(prove(sharer, asSharer()), { name: "ProtocolError" });
  });
}

test("a proof is bound to role, fingerprints and nonces", async () => {
  const side = { role: "sharer", fingerprints: { local: A, remote: B }, nonces: { sharer: "1", receiver: "2" } };
  const mac = await signProof(key, side);
  assert.equal(await verifyProof(key, side, mac), true);
  for (const other of [
    { ...side, role: "receiver" },
    { ...side, fingerprints: { local: B, remote: A } },
    { ...side, nonces: { sharer: "2", receiver: "1" } },
    { ...side, nonces: { sharer: "12", receiver: "" } },
  ]) {
    assert.equal(await verifyProof(key, other, mac), false);
  }
  for (const junk of [undefined, 5, "", "!", `${mac}A`]) assert.equal(await verifyProof(key, side, junk), false);
});

test("all fingerprints of a description are included, in a canonical form", () => {
  const one = "v=0\r\na=fingerprint:SHA-256 aa:bb\r\nm=x\r\na=fingerprint:sha-256 AA:BB\r\n";
  assert.equal(fingerprintsOf(one), "sha-256 AA:BB");
  assert.equal(fingerprintsOf(`${one}a=fingerprint:sha-512 00:11\r\n`), "sha-256 AA:BB,sha-512 00:11");
  assert.throws(() => fingerprintsOf("v=0\r\n"), { name: "ProtocolError" });
});
