/** CPace and the curve below it, against the vectors of RFC 9380 (J.1.2) and of draft-irtf-cfrg-cpace (P-256). */

import assert from "node:assert/strict";
import { createECDH, randomBytes } from "node:crypto";
import { test } from "node:test";
import { calculateGenerator, finishExchange, messageOf, startExchange } from "../../web/lib/share/cpace.js";
import { encodeToCurve, pointOf } from "../../web/lib/util/p256.js";

const bytes = (text) => new Uint8Array(Buffer.from(text));
const fromHex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const hex = (value) => Buffer.from(value).toString("hex");

const TAG = "QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_NU_";
test("a text is mapped to the point of RFC 9380", async () => {
  const point = await encodeToCurve(bytes(""), TAG);
  const x = "f871caad25ea3b59c16cf87c1894902f7e7b2c822c3d3f73596c5ace8ddd14d1";
  const y = "87b9ae23335bee057b99bac1e68588b18b5691af476234b8971bc4f011ddc99b";
  assert.equal(hex(point), `04${x}${y}`);
});

test("an x coordinate leads to one of its two points", async () => {
  for (let n = 0; n < 50; n++) {
    const point = await encodeToCurve(new Uint8Array(randomBytes(20)), TAG);
    const found = pointOf(point.subarray(1, 33));
    assert.equal(hex(found.subarray(0, 33)), hex(point.subarray(0, 33)));
    await crypto.subtle.importKey("raw", found, { name: "ECDH", namedCurve: "P-256" }, false, []);
  }
});

const SESSION = { password: bytes("Password"), channel: bytes("\nAinitiator\nBresponder"), id: fromHex("34b36454cab2e7842c389f7d88ecb7df") };
const YA = "37574cfbf1b95ff6a8e2d7be462d4d01e6dde2618f34f4de9df869b24f532c5d";
const YB = "e5672fc9eb4e721f41d80181ec4c9fd9886668acc48024d33c82bb102aecba52";

/** The draft accepts a point or its negative, which have the same x coordinate. */
const x = (point) => hex(point).slice(2, 66);

async function privateKey(secret) {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(Buffer.from(secret, "hex"));
  const point = ecdh.getPublicKey();
  const [d, x, y] = [fromHex(secret), point.subarray(1, 33), point.subarray(33)].map((part) => Buffer.from(part).toString("base64url"));
  const jwk = { kty: "EC", crv: "P-256", d, x, y };
  return crypto.subtle.importKey("jwk", jwk, { name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"]);
}

test("generator, points and key are those of the draft", async () => {
  assert.equal(
    hex(await calculateGenerator(SESSION)),
    "041b51433114e096c9d595f0955f5717a75169afb95557f4a6f51155035dee19c76887bce5c7c054fa1fe48a4a62c7fb96dc75e34259d2f72b8d41f31b8e586bcd",
  );
  const a = await startExchange(SESSION, { privateKey: await privateKey(YA) });
  const b = await startExchange(SESSION, { privateKey: await privateKey(YB) });
  assert.equal(x(a.point), "b75c1bcda84a0f324aabb7f25cf853ed7fb327c33f23db6aeb320d81df014649");
  assert.equal(x(b.point), "bb2783a57337e74671f76452876b27839c0ea9e044e3aadaad2e64777ed27a90");
  // The key of the vector is computed over these points, of the two that are allowed.
  const ya = fromHex("04b75c1bcda84a0f324aabb7f25cf853ed7fb327c33f23db6aeb320d81df014649c2ac691925fce0eceac7dbc75eca25e6a1558066a610b4021488279e3b989d52");
  const yb = fromHex("04bb2783a57337e74671f76452876b27839c0ea9e044e3aadaad2e64777ed27a90e80a99438e2f1c072462f2895c6dadf1b43867b92ffb65562b78c793947dcada");
  const messages = [messageOf(ya, bytes("ADa")), messageOf(yb, bytes("ADb"))];
  for (const [side, remotePoint] of [[a, yb], [b, ya]]) {
    const key = await finishExchange({ session: SESSION, privateKey: side.privateKey, remotePoint, messages });
    assert.equal(hex(key), "7ae1e916606e44652e3c0d7231198af6519226339c241e546afd0bbf48e1c96a");
  }
});

async function run(ours, theirs) {
  const [a, b] = [await startExchange(ours), await startExchange(theirs)];
  const messages = [messageOf(a.point, bytes("a")), messageOf(b.point, bytes("b"))];
  const keys = await Promise.all([
    finishExchange({ session: ours, privateKey: a.privateKey, remotePoint: b.point, messages }),
    finishExchange({ session: theirs, privateKey: b.privateKey, remotePoint: a.point, messages }),
  ]);
  return { points: [hex(a.point), hex(b.point)], keys: keys.map(hex) };
}

test("only the same password in the same session gives the same key, and every run gives another one", async () => {
  const [first, second] = [await run(SESSION, SESSION), await run(SESSION, SESSION)];
  assert.equal(first.keys[0], first.keys[1]);
  assert.equal(new Set([...first.points, ...second.points, first.keys[0], second.keys[0]]).size, 6);
  for (const other of [{ password: bytes("password") }, { channel: bytes("") }, { id: bytes("") }]) {
    const { keys } = await run(SESSION, { ...SESSION, ...other });
    assert.notEqual(keys[0], keys[1]);
  }
});

for (const [title, point] of [
  ["nothing", ""],
  ["the neutral element", "00"],
  ["a point beside the curve", "0424648eb986c2be0af636455cef0550671d6bcd8aa26e0d72ffa1b1fd12ba4e0f78da2b6d2184f31af39e566aef127014b6936c9a37346d10a4ab2514faef5857"],
  ["zeros", `04${"00".repeat(64)}`],
  ["a coordinate beyond the field", `04${"ff".repeat(64)}`],
]) {
  test(`${title} in place of a point is a protocol error`, async () => {
    const { privateKey } = await startExchange(SESSION);
    const exchange = { session: SESSION, privateKey, remotePoint: fromHex(point), messages: [bytes(""), bytes("")] };
    await assert.rejects(finishExchange(exchange), { name: "ProtocolError" });
  });
}
