/** Files that change, or cannot be read any more, while they are shared: a receiver never gets a mixture. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { PieceReader } from "../../web/lib/share/piece-reader.js";
import { settle } from "./fakes.mjs";
import { MIB, catalogueOf, connect, takeAll } from "./transfer-setup.mjs";

const changing = (first, then) => {
  let reads = 0;
  return { name: "0.bin", size: first.length, slice: (a, b) => new Blob([(reads++ < 1 ? first : then).subarray(a, b)]) };
};

for (const [title, file, reason] of [
  ["is gone", { name: "x", size: 2 * MIB, slice: () => ({ arrayBuffer: () => Promise.reject(new Error("gone")) }) }, "unreadable"],
  ["has become shorter", { name: "x", size: 2 * MIB, slice: () => new Blob(["short"]) }, "changed"],
]) {
  test(`a file that ${title} on the sender's disk is reported`, async () => {
    const { download } = await takeAll(catalogueOf([["x"], file]));
    await assert.rejects(download.finished, { name: "TransferError", reason });
  });
}

test("a file that changed between two receivers is detected", async () => {
  const catalogue = catalogueOf([["0.bin"], changing(randomBytes(500), randomBytes(500))]);
  await (await takeAll(catalogue)).download.finished;
  const second = await takeAll(catalogue);
  await assert.rejects(second.download.finished, { reason: "changed" });
  assert.equal(second.disk.written, 0, "what differs was stored before it was refused");
});

test("a file that changed while the receiver was away is detected at the end", async () => {
  const first = await takeAll(catalogueOf(randomBytes(6 * MIB)));
  while (first.disk.written < 2 * MIB) await settle();
  first.ends[0].cut();
  await first.over;
  await first.download.transferFrom(connect(catalogueOf(randomBytes(6 * MIB))).receiver);
  await assert.rejects(first.download.finished, { reason: "changed" });
});

test("a file that is replaced during its transfer never arrives as a mixture, where reading it does not fail", async () => {
  const [before, after] = [randomBytes(6 * MIB), randomBytes(6 * MIB)];
  let reads = 0;
  class Replaced extends File {
    slice(start, end) {
      const bytes = (++reads <= 3 ? before : after).slice(start, end);
      return { arrayBuffer: async () => new Uint8Array(bytes).buffer };
    }
  }
  const { download } = await takeAll(catalogueOf([["0.bin"], new Replaced([before], "0.bin")]));
  await assert.rejects(download.finished, { reason: "changed" });
});

test("reading a file again at its end goes on where a receiver gave up", async () => {
  let bytes = 0;
  class Counted extends File {
    slice(start, end) {
      bytes += end - start;
      return super.slice(start, end);
    }
  }
  const catalogue = catalogueOf([["0.bin"], new Counted([randomBytes(6 * MIB)], "0.bin")]);
  const [{ id }] = catalogue.entries;
  const reader = new PieceReader();
  for (let piece = 0; piece < 6; piece++) reader.release((await catalogue.readPiece(id, piece, reader)).bytes);
  let needed = 4;
  await assert.rejects(catalogue.rootHash(id, () => needed-- > 0), { reason: "cancelled" });
  bytes = 0;
  await catalogue.rootHash(id, () => true);
  assert.equal(bytes, 2 * MIB);
});
