/** The library's SHA-256 compared with Node's, for all relevant lengths and updates of any size. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { digestFile } from "../../web/lib/share/file-digest.js";
import { Sha256 } from "../../web/lib/util/sha256.js";
import { seeded } from "./fakes.mjs";

const expected = (bytes) => createHash("sha256").update(bytes).digest("hex");

test("every length around the block boundaries", () => {
  for (let length = 0; length <= 260; length++) {
    const bytes = randomBytes(length);
    assert.equal(new Sha256().update(bytes).digest(), expected(bytes), `${length} bytes`);
  }
});

test("the sizes of the updates do not matter", () => {
  const bytes = randomBytes(100_000);
  for (let seed = 0; seed < 20; seed++) {
    const random = seeded(seed);
    const hash = new Sha256();
    for (let at = 0; at < bytes.length; ) {
      const step = Math.floor(random() * 3_000);
      hash.update(bytes.subarray(at, at + step));
      at += step;
    }
    assert.equal(hash.digest(), expected(bytes), `seed ${seed}`);
  }
});

test("the length may exceed 2^32 bits", () => {
  const step = Buffer.alloc(2 ** 24, 5);
  const ours = new Sha256();
  const theirs = createHash("sha256");
  for (let i = 0; i < 33; i++) {
    ours.update(step);
    theirs.update(step);
  }
  assert.equal(ours.digest(), theirs.digest("hex"));
});

test("a file is read in chunks", async () => {
  const bytes = randomBytes(2_500_000);
  assert.equal(await digestFile(new Blob([bytes])), expected(bytes));
  assert.equal(await digestFile(new Blob([])), expected(""));
});
