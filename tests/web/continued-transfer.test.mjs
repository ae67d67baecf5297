/** Downloads that continue over the next channel, and compare what is stored. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { PeerError } from "../../web/lib/rtc/index.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Download } from "../../web/lib/share/index.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { deferred } from "../../web/lib/util/deferred.js";
import { FakeDisk } from "./fake-disk.mjs";
import { FakeClock, fakeChannelPair, seeded, settle } from "./fakes.mjs";
import { MIB, catalogueOf, connect, listed, requestsIn, sentBytes, takeAll } from "./transfer-setup.mjs";

test("a download continues over the next channel, and no piece is sent twice", async () => {
  const bytes = randomBytes(6 * MIB);
  const catalogue = catalogueOf(bytes);
  const first = await takeAll(catalogue);
  while (first.disk.written < 2 * MIB) await settle();
  first.ends[0].cut();
  assert.equal(await first.over, false);
  assert.equal(first.download.progress.state, "waiting");
  const kept = first.disk.written;
  const second = connect(catalogue);
  assert.equal(await first.download.transferFrom(second.receiver), true);
  await first.download.finished;
  assert.ok(first.disk.bytes("0.bin").equals(bytes));
  assert.equal(sentBytes(second.ends[1]), bytes.length - kept);
});

test("the next connection waits until a write of the last one is over, so no piece is requested or written twice", async () => {
  const bytes = randomBytes(6 * MIB);
  const catalogue = catalogueOf(bytes);
  const disk = new SlowDisk();
  const first = await takeAll(catalogue, { disk });
  await disk.writing;
  first.ends[0].cut();
  const second = connect(catalogue);
  await listed(second.receiver);
  const over = first.download.transferFrom(second.receiver);
  for (let turn = 0; turn < 50; turn++) await settle();
  assert.deepEqual(requestsIn(second.ends[0]), []);
  disk.goOn();
  assert.deepEqual([await first.over, await over], [false, true]);
  await first.download.finished;
  assert.ok(disk.bytes("0.bin").equals(bytes));
  assert.deepEqual([disk.written, first.download.progress.written], [bytes.length, bytes.length]);
  // The second piece may have arrived with the first.
  const pieces = requestsIn(second.ends[0]).map(({ piece }) => piece);
  assert.deepEqual(pieces, [1, 2, 3, 4, 5, undefined].slice(-pieces.length));
});

test("of two connections that are both open, the later one transfers what the earlier one has not requested", async () => {
  const bytes = randomBytes(9 * MIB);
  const catalogue = catalogueOf(bytes);
  const first = await takeAll(catalogue);
  while (first.disk.written < MIB) await settle();
  const second = connect(catalogue);
  await listed(second.receiver);
  const over = first.download.transferFrom(second.receiver);
  assert.deepEqual([await first.over, await over], [false, true]);
  await first.download.finished;
  assert.ok(first.disk.bytes("0.bin").equals(bytes));
  assert.equal(first.disk.written, bytes.length);
  const pieces = [first, second].flatMap(({ ends }) => requestsIn(ends[0]).flatMap(({ type, piece }) => (type === "pull" ? [piece] : [])));
  assert.deepEqual(pieces, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

/** The first write takes until `goOn` is called. */
class SlowDisk extends FakeDisk {
  goOn = () => {};
  #started = deferred();
  #gate = new Promise((/** @type {(_?: void) => void} */ resolve) => (this.goOn = resolve));
  writing = this.#started.promise;

  async open(entry) {
    const sink = await super.open(entry);
    return {
      ...sink,
      write: async (at, bytes) => {
        this.#started.resolve();
        await this.#gate;
        return sink.write(at, bytes);
      },
    };
  }
}

test("stored pieces are compared, and only different ones are sent", async () => {
  const bytes = randomBytes(6 * MIB + 5);
  const disk = new FakeDisk();
  disk.put("0.bin", Buffer.concat([bytes.subarray(0, MIB), randomBytes(MIB), bytes.subarray(2 * MIB, 4 * MIB + 100)]));
  const { ends, download } = await takeAll(catalogueOf(bytes), { disk });
  await download.finished;
  assert.ok(disk.bytes("0.bin").equals(bytes));
  assert.equal(sentBytes(ends[1]), bytes.length - 3 * MIB);
});

test("a silent sender times out, and the download may continue over another channel", async () => {
  const clock = new FakeClock();
  const [, end] = fakeChannelPair();
  const receiver = new Receiver(new RtcMessageChannel(end, { clock }), { clock });
  const ended = receiver.run().catch((error) => error);
  const asked = assert.rejects(receiver.requestPiece({ id: "1", path: ["x"], size: 5, type: "" }, 0), { reason: "stalled" });
  await clock.advance(30_000);
  await asked;
  assert.equal((await ended).reason, "stalled");
});

test("any schedule of loss, reconnect, pause and cancel gives equal bytes or an explicit error", async () => {
  const pool = randomBytes(3 * MIB);
  for (let seed = 0; seed < 2_000; seed++) {
    const random = seeded(seed);
    const upTo = (n) => Math.floor(random() * n);
    const contents = Array.from({ length: 1 + upTo(4) }, () => {
      const start = upTo(MIB);
      return pool.subarray(start, start + (random() < 0.1 ? MIB + upTo(MIB) : upTo(random() < 0.3 ? 200_000 : 300)));
    });
    const catalogue = catalogueOf(...contents);
    const clock = new FakeClock();
    const disk = new FakeDisk({ room: random() < 0.05 ? upTo(400_000) : Infinity });
    let download = /** @type {Download | null} */ (null);
    let outcome = /** @type {any} */ (null);
    for (let tries = 0; !outcome; tries++) {
      assert.ok(tries < 200, `seed ${seed} never ends`);
      const all = connect(catalogue, { clock, pace: () => 1 + upTo(9) });
      // The later the try, the more is let through: a network that never works is no schedule.
      let left = random() < 0.7 ? upTo(10 + tries * 4) : Infinity;
      const act = () => {
        if (random() < 0.02) download?.pause();
        if (random() < 0.002) download?.cancel();
        if (random() < 0.002) catalogue.remove(String(1 + upTo(contents.length)));
        if (random() < 0.0005) all.sender.stop();
        if (--left <= 0) all.ends[0].cut();
      };
      for (const end of all.ends) end.addEventListener("message", act);
      const gone = all.received.then(() => true);
      while (all.receiver.entries.length === 0 && !all.receiver.endReason) {
        if (catalogue.entries.length === 0) break;
        await settle();
      }
      if (all.receiver.entries.length === 0) {
        if (catalogue.entries.length > 0) continue;
        // No files are shared: the download shows that it is waiting, and the user cancels it.
        if (!download) break;
        download.cancel();
      }
      if (!download) {
        download = new Download(all.receiver.entries, disk, { clock });
        download.finished.then((value) => (outcome = value), (error) => (outcome = error));
      }
      const served = download.transferFrom(all.receiver);
      for (let over = false; !over; ) {
        over = await Promise.race([served.then(() => true), settle().then(() => false)]);
        if (random() < 0.5) download.resume();
        if (!over && catalogue.entries.length === 0 && download.progress.state === "waiting") download.cancel();
      }
      await settle();
      all.channels[1].close(new PeerError("lost", "schedule moves on"));
      all.ends[0].cut();
      await Promise.all([gone, all.sent]);
      await settle();
    }
    if (!outcome) continue;
    if (outcome instanceof Error) {
      const reason = /** @type {any} */ (outcome).reason;
      assert.ok(["cancelled", "storage", "removed"].includes(reason), `seed ${seed}: ${outcome.stack}`);
      continue;
    }
    const failed = outcome.failed.map(({ entry }) => entry.path[0]);
    assert.ok(outcome.failed.every(({ error }) => error.reason === "removed"), `seed ${seed}`);
    for (const [at, bytes] of contents.entries()) {
      const name = `${at}.bin`;
      if (disk.names.includes(name)) assert.ok(disk.bytes(name).equals(bytes), `seed ${seed}: ${name} differs`);
      else assert.ok(failed.includes(name) || !catalogue.entry(String(at + 1)), `seed ${seed}: ${name} is missing`);
    }
  }
});
