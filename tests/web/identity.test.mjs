/** Identity: ids that are derived from a secret, or from a name. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { checkedName } from "../../web/lib/rtc/identity.js";
import { createIdentity, isPeerId, namedIdentity, peerIdOf, restoreIdentity } from "../../web/lib/rtc/index.js";

test("the id is the start of the secret's SHA-256, with version 8 and the variant set", async () => {
  for (let i = 0; i < 50; i++) {
    const { peerId, secret } = await createIdentity();
    const bytes = Buffer.from(secret, "base64url");
    assert.equal(bytes.length, 32);
    const hash = createHash("sha256").update(bytes).digest("hex");
    const id = peerId.replaceAll("-", "");
    assert.match(peerId, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(id.slice(0, 12) + id.slice(13, 16) + id.slice(17), hash.slice(0, 12) + hash.slice(13, 16) + hash.slice(17, 32));
    assert.ok(isPeerId(peerId));
  }
});

test("a secret always gives the same id", async () => {
  const secret = Buffer.alloc(32, 7).toString("base64url");
  assert.deepEqual(await restoreIdentity(secret), { peerId: KNOWN_ID, secret });
});

/** From `printf '\7%.0s' $(seq 32) | sha256sum`, with version and variant set by hand. */
const KNOWN_ID = "4bb06f8e-4e3a-8715-9201-d573d0aa4237";

test("secrets that are too short, too long or padded are rejected", async () => {
  for (const secret of ["", "AAAA", "A".repeat(90), `${"A".repeat(43)}=`, "not base64url at all!!", "A".repeat(42) + "B"]) {
    await assert.rejects(restoreIdentity(secret), RangeError, secret);
  }
});

test("only canonical lower-case UUIDs are ids", () => {
  assert.equal(isPeerId("4BB06F8E-4E3A-8715-9201-D573D0AA4237"), false);
  assert.equal(isPeerId("4bb06f8e4e3a87159201d573d0aa4237"), false);
  assert.equal(isPeerId("not-a-uuid"), false);
});

test("a name stands for the same UUID of version 5 everywhere, and a UUID for itself", () => {
  // From Python: uuid5(UUID("852a6f2b-d217-4ac0-86b8-af976f2e66d5"), name).
  assert.equal(peerIdOf("alice"), "ba15b24a-95e1-59e3-aa9a-2ef22e104795");
  assert.equal(peerIdOf("node-42 ü"), "d988bc77-c222-5feb-a59d-e8656237bcdf");
  assert.equal(peerIdOf(KNOWN_ID), KNOWN_ID);
  assert.notEqual(peerIdOf(KNOWN_ID.toUpperCase()), KNOWN_ID);
});

test("a named identity has a new secret each time, and without a name a random id", () => {
  const [first, second] = [namedIdentity("alice"), namedIdentity("alice")];
  assert.deepEqual([first.peerId, first.name], [peerIdOf("alice"), "alice"]);
  assert.equal(Buffer.from(first.secret, "base64url").length, 32);
  assert.notEqual(first.secret, second.secret);
  const { peerId, name } = namedIdentity();
  assert.match(peerId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(name, undefined);
  assert.notEqual(namedIdentity().peerId, peerId);
});

test("a name is a text of 1 to 256 bytes that has a UTF-8 form", () => {
  for (const name of ["", "x".repeat(257), "ü".repeat(129), "\ud800", "a\udc00b", undefined, null, 42, {}]) {
    assert.throws(() => peerIdOf(name), RangeError, String(name));
    assert.equal(checkedName(name, KNOWN_ID), null);
  }
  for (const name of ["x".repeat(256), "ü".repeat(128), "\u{1f91d}", " ", "\0"]) assert.equal(checkedName(name, peerIdOf(name)), name);
  assert.equal(checkedName("alice", peerIdOf("bob")), null);
});
