/** The library's SHA-1 compared with Node's, for all relevant lengths. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { sha1 } from "../../web/lib/util/sha1.js";

test("every length around the block boundaries", () => {
  for (let length = 0; length <= 260; length++) {
    const bytes = randomBytes(length);
    assert.equal(Buffer.from(sha1(bytes)).toString("hex"), createHash("sha1").update(bytes).digest("hex"), `${length} bytes`);
  }
});
