/** The proof: it succeeds only with the same key and the same password over the same session. */

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

const passwordKey = new Uint8Array(randomBytes(16));
const otherPasswordKey = new Uint8Array(randomBytes(16));

test("the same key and the same password succeed on both sides", async () => {
  const { ends, sharer, receiver } = setUp();
  await Promise.all([prove(sharer, asSharer({ passwordKey })), prove(receiver, asReceiver({ passwordKey }))]);
  for (const end of ends) assert.deepEqual(said(end), ["hello", "proof", "point", "confirm"]);
});

for (const [title, own, other, lastOfSharer] of [
  ["another password", passwordKey, otherPasswordKey, "point"],
  ["a password that only the sharer has", passwordKey, null, "hello"],
  ["a password that only the receiver has", null, passwordKey, "hello"],
]) {
  test(`${title} fails on both sides`, async () => {
    const { ends, sharer, receiver } = setUp();
    const results = await Promise.allSettled([prove(sharer, asSharer({ passwordKey: own })), prove(receiver, asReceiver({ passwordKey: other }))]);
    assert.deepEqual(results.map(({ reason }) => reason?.reason), ["wrong_password", "wrong_password"]);
    assert.deepEqual(said(ends[1]).slice(-2), [lastOfSharer, "refused"]);
  });
}

test("without the key of the link nobody gets to try a password", async () => {
  const { ends, sharer, receiver } = setUp();
  const mayTryPassword = () => assert.fail("a try was counted");
  const options = { key: new Uint8Array(16), passwordKey };
  const results = await Promise.allSettled([prove(sharer, asSharer({ passwordKey, mayTryPassword })), prove(receiver, asReceiver(options))]);
  assert.deepEqual(results.map(({ reason }) => reason?.reason), ["wrong_key", "wrong_key"]);
  assert.deepEqual(said(ends[1]), ["hello", "refused"]);
});

test("a refused try ends before the sharer has compared the password", async () => {
  const { ends, sharer, receiver } = setUp();
  const mayTryPassword = () => false;
  const results = await Promise.allSettled([prove(sharer, asSharer({ passwordKey, mayTryPassword })), prove(receiver, asReceiver({ passwordKey }))]);
  assert.deepEqual(results.map(({ reason }) => reason?.reason), ["too_many_tries", "too_many_tries"]);
  assert.deepEqual(said(ends[1]), ["hello", "proof", "point", "refused"]);
});

/** What an attacker in the given role hears, which has the key of the link and guesses the password. */
async function eavesdrop(role) {
  const { ends, sharer, receiver } = setUp();
  const [sharerKey, receiverKey] = role === "sharer" ? [otherPasswordKey, passwordKey] : [passwordKey, otherPasswordKey];
  await Promise.allSettled([prove(sharer, asSharer({ passwordKey: sharerKey })), prove(receiver, asReceiver({ passwordKey: receiverKey }))]);
  const [bySharer, byReceiver] = ends.map(({ received }) => received.map((text) => JSON.parse(text)));
  return { messages: role === "sharer" ? bySharer : byReceiver, nonces: { receiver: bySharer[0].nonce, sharer: byReceiver[0].nonce } };
}

test("a sharer without the password gets a fresh point and the answer to its one guess, and no proof with the password itself", async () => {
  const [heard, again] = [await eavesdrop("sharer"), await eavesdrop("sharer")];
  assert.deepEqual(heard.messages.map(({ type }) => type), ["hello", "proof", "point", "confirm"]);
  const [, , { point }, { mac }] = heard.messages;
  assert.notEqual(again.messages[2].point, point);
  // A proof with the password alone could be compared with any number of passwords, without a connection.
  assert.equal(await verifyProof(passwordKey, { role: "receiver", fingerprints: { local: B, remote: A }, nonces: heard.nonces }, mac), false);
});

test("a receiver without the password gets no proof of it at all", async () => {
  const { messages } = await eavesdrop("receiver");
  assert.deepEqual(messages.map(({ type }) => type), ["hello", "proof", "point", "refused"]);
});

for (const [title, point] of [["text", "!"], ["no point", "AAAA"], ["a number", 7]]) {
  test(`${title} in place of a point is a protocol error`, async () => {
    const { ends, sharer, receiver } = setUp();
    ends[1].tamper = (data) => (data.includes('"point"') ? JSON.stringify({ type: "point", point }) : data);
    const waiting = prove(receiver, asReceiver({ passwordKey })).catch(() => {});
    await assert.rejects(prove(sharer, asSharer({ passwordKey })), { name: "ProtocolError" });
    receiver.close();
    await waiting;
  });
}

test("a side of another version is refused as such, not as a wrong key", async () => {
  for (const options of [asSharer(), asReceiver()]) {
    const { sharer, receiver } = setUp();
    receiver.send({ type: "hello", version: 2, nonce: "A".repeat(22) });
    await assert.rejects(prove(sharer, options), { name: "ProofError", reason: "version" });
    assert.equal((await receiver.expect(["hello"])).version, 3);
    assert.equal((await receiver.expect(["refused"])).reason, "version");
  }
});

test("a proof cannot be sent back", async () => {
  const { sharer, receiver } = setUp();
  const refused = assert.rejects(prove(sharer, asSharer({ fingerprints: { local: A, remote: A } })), { reason: "wrong_key" });
  for (;;) {
    const message = await receiver.receive();
    receiver.send(message.type === "hello" ? message : { type: "proof", mac: "AAAA", password: false });
    if (message.type === "hello") receiver.send({ type: "proof", mac: "AAAA", password: false });
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
  ["a short nonce", [{ type: "hello", version: 3, nonce: "AAAA" }]],
  ["a nonce that is no text", [{ type: "hello", version: 3, nonce: 7 }]],
  ["a pull in place of a proof", [{ type: "hello", version: 3, nonce: "A".repeat(22) }, { type: "pull", piece: 0 }]],
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
