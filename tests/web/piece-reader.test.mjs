/** PieceReader: correct pieces in any order, and few openings of the file. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Catalogue } from "../../web/lib/share/catalogue.js";
import { PIECE_BYTES, pieceCount } from "../../web/lib/share/piece-layout.js";
import { PieceReader } from "../../web/lib/share/piece-reader.js";
import { Sender } from "../../web/lib/share/sender.js";
import { fakeChannelPair, seeded, settle } from "./fakes.mjs";

const BYTES = randomBytes(40 * PIECE_BYTES + 5);

/** A file that counts how often it is opened. */
function countedFile() {
  const whole = new Blob([BYTES]);
  const file = {
    name: "x",
    size: BYTES.length,
    opened: 0,
    slice: (start, end) => {
      file.opened += 1;
      return whole.slice(start, end);
    },
  };
  return file;
}

/** A file in a browser without byte streams, or a source without any streams. */
const unstreamed = {
  name: "x",
  size: BYTES.length,
  slice: (start, end) => ({ arrayBuffer: async () => new Uint8Array(BYTES.subarray(start, end)).buffer }),
};

const pieceOf = (piece) => BYTES.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES);

for (const [title, file] of [["streams", countedFile()], ["slices", unstreamed]]) {
  test(`pieces are correct in any order, through ${title}`, async () => {
    const random = seeded(1);
    const reader = new PieceReader();
    let held = { bytes: new Uint8Array(0), piece: -1 };
    for (let turn = 0, piece = 0; turn < 300; turn++) {
      piece = random() < 0.1 ? Math.floor(random() * pieceCount(BYTES.length)) : (piece + 1) % pieceCount(BYTES.length);
      const bytes = await reader.read(file, piece);
      assert.ok(pieceOf(piece).equals(bytes), `piece ${piece}`);
      // One may still be on its way while the next is read.
      if (held.piece >= 0) assert.ok(pieceOf(held.piece).equals(held.bytes), `piece ${held.piece} was written over`);
      reader.release(held.bytes);
      held = { bytes, piece };
    }
  });
}

test("pieces in order come from a file that is reopened every 32 pieces", async () => {
  const file = countedFile();
  const reader = new PieceReader();
  for (let piece = 0; piece < 41; piece++) reader.release(await reader.read(file, piece));
  assert.equal(file.opened, 2);
});

test("when the channel ends during a read, the file is closed and not reported as changed", async () => {
  const state = { reads: 0, cancelled: false, give: () => {} };
  const stream = new ReadableStream({
    type: "bytes",
    pull: (controller) => new Promise((resolve) => {
      state.reads += 1;
      state.give = () => resolve(controller.enqueue(new Uint8Array(PIECE_BYTES)));
    }),
    cancel: () => void (state.cancelled = true),
  });
  const catalogue = new Catalogue();
  catalogue.add([{ file: /** @type {any} */ ({ name: "x", size: 2 * PIECE_BYTES, slice: () => ({ stream: () => stream }) }) }]);
  const faults = [];
  catalogue.on("fault", (_entry, error) => faults.push(error));
  const ends = fakeChannelPair();
  const [channel, other] = ends.map((end) => new RtcMessageChannel(end));
  const ended = new Sender(channel, catalogue).run().catch((error) => error);
  for (const piece of [0, 1]) other.send({ type: "pull", id: "1", piece });
  while (state.reads < 1) await settle();
  state.give();
  while (state.reads < 2) await settle();
  ends[0].cut();
  assert.equal((await ended).reason, "lost");
  state.give();
  while (!state.cancelled) await settle();
  assert.deepEqual(faults, []);
});
