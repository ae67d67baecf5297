/** The hash of a piece, compared with Node's own SHA-256. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { pieceHash } from "../../web/lib/share/piece-hash.js";
import { PIECE_BYTES } from "../../web/lib/share/piece-layout.js";

const BLOCK = 128 * 1024;

const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

for (const size of [0, 1, BLOCK, BLOCK + 1, PIECE_BYTES - 1, PIECE_BYTES]) {
  test(`the hash of a piece of ${size} bytes is the hash over the hashes of its blocks`, async () => {
    const bytes = randomBytes(size);
    const hashes = [];
    for (let at = 0; at < size; at += BLOCK) hashes.push(sha256(bytes.subarray(at, at + BLOCK)));
    assert.equal(await pieceHash(new Uint8Array(bytes)), sha256(Buffer.concat(hashes)).toString("hex"));
  });
}
