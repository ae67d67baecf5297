/** Transfers over message channels: complete files with confirmed hashes, or an explicit error; never a hang. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { PeerError } from "../../web/lib/rtc/index.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { emptyFolder, textFile } from "../../web/lib/share/file-entry.js";
import { unzip } from "../unzip.mjs";
import { Catalogue } from "../../web/lib/share/catalogue.js";
import { Download, MemoryTarget, TextTarget } from "../../web/lib/share/index.js";
import { MAX_TEXT_BYTES } from "../../web/lib/share/protocol.js";
import { PieceReader } from "../../web/lib/share/piece-reader.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { Sender } from "../../web/lib/share/sender.js";
import { Throughput } from "../../web/lib/share/throughput.js";
import { FakeClock, fakeChannelPair, seeded, settle } from "./fakes.mjs";
import { FakeDisk } from "./fake-disk.mjs";

const MIB = 1024 * 1024;

/** A sender and a receiver on a fresh pair of channels, both running. */
function connect(catalogue, { clock = new FakeClock(), pace } = {}) {
  const ends = fakeChannelPair({ pace });
  const channels = ends.map((end) => new RtcMessageChannel(end, { clock }));
  const sender = new Sender(channels[0], catalogue);
  const receiver = new Receiver(channels[1], { clock });
  const sent = sender.run().catch((error) => (channels[0].close(), error));
  const received = receiver.run().catch((error) => error);
  return { clock, ends, channels, sender, receiver, sent, received };
}

async function listed(receiver) {
  while (receiver.entries.length === 0) await settle();
  return receiver.entries;
}

function catalogueOf(...files) {
  const catalogue = new Catalogue();
  catalogue.add(files.map((file, at) => (Array.isArray(file) ? { file: file[1], path: file[0] } : { file: new File([file], `${at}.bin`) })));
  return catalogue;
}

/** Takes everything over one channel. */
async function takeAll(catalogue, options = {}) {
  const all = connect(catalogue, options);
  const disk = options.disk ?? new FakeDisk();
  const download = new Download(await listed(all.receiver), disk, { clock: all.clock });
  const over = download.transferFrom(all.receiver);
  return { ...all, disk, download, over };
}

for (const size of [0, 1, 65_536, MIB - 1, MIB, MIB + 1, 6 * MIB]) {
  test(`${size} bytes arrive completely, and both sides have the same hash`, async () => {
    const bytes = randomBytes(size);
    const { disk, download } = await takeAll(catalogueOf(bytes));
    const { files, failed } = await download.finished;
    assert.deepEqual([files.length, failed.length], [1, 0]);
    assert.ok(disk.bytes("0.bin").equals(bytes));
  });
}

test("many files with folders arrive together, also empty ones, and unselected ones do not", async () => {
  const catalogue = new Catalogue();
  const contents = Array.from({ length: 300 }, (_, at) => randomBytes(at % 7 === 0 ? 0 : at * 31));
  catalogue.add(contents.map((bytes, at) => ({ file: new File([bytes], `${at}`), path: [`dir${at % 5}`, `${at}`] })));
  const all = connect(catalogue);
  const entries = (await listed(all.receiver)).filter((_, at) => at % 3 !== 0);
  const disk = new FakeDisk();
  const download = new Download(entries, disk, { clock: all.clock });
  await Promise.all([download.transferFrom(all.receiver), download.finished]);
  assert.equal(disk.names.length, 200);
  for (const { path } of entries) assert.ok(disk.bytes(path.join("/")).equals(contents[Number(path[1])]));
});

test("texts that are to be shown arrive as strings, and the sender is not told if nobody has asked for them", async () => {
  const catalogue = new Catalogue();
  const texts = ["Grüße 👋\n\ttwo lines", "", "x".repeat(MAX_TEXT_BYTES), "x".repeat(MAX_TEXT_BYTES + 1)];
  catalogue.add(texts.map((text) => ({ file: textFile(text) })));
  const { clock, receiver, sender } = connect(catalogue);
  const entries = await listed(receiver);
  assert.deepEqual(entries.map(({ text, path, type }) => [text, path[0], type]), [
    [true, "text.txt", "text/plain"],
    [true, "text (2).txt", "text/plain"],
    [true, "text (3).txt", "text/plain"],
    [undefined, "text (4).txt", "text/plain"],
  ]);
  const reports = [];
  sender.on("progress", ({ state }) => reports.push(state));
  for (const isReported of [false, true]) {
    const target = new TextTarget();
    const download = new Download(entries.slice(0, 3), target, { clock, isReported });
    await Promise.all([download.transferFrom(receiver), download.finished]);
    assert.deepEqual(entries.map(({ id }) => target.texts.get(id)), [...texts.slice(0, 3), undefined]);
    if (!isReported) assert.deepEqual(reports, []);
  }
  while (reports.at(-1) !== "done") await settle();
});

test("the send buffer is bounded by 256 KiB, requests by the window of written bytes", async () => {
  const bytes = randomBytes(8 * MIB);
  const { ends, download, disk } = await takeAll(catalogueOf(bytes), { disk: new FakeDisk({ delay: 2 }) });
  let asked = 0;
  ends[0].addEventListener("message", ({ data }) => {
    if (JSON.parse(data).type === "pull") asked += 1;
    assert.ok(asked * MIB - disk.written <= 4 * MIB, "more was asked for than the window allows");
  });
  await download.finished;
  assert.ok(disk.bytes("0.bin").equals(bytes), "a piece was written over before it was stored");
  assert.equal(asked, 8);
  const words = 1_024; // control messages beside the bytes
  assert.ok(ends[0].peak <= 256 * 1024 + words, `${ends[0].peak} bytes were queued`);
});

test("progress counts written bytes on both sides and ends at the total", async () => {
  const bytes = randomBytes(3 * MIB + 17);
  const { sender, download, sent, channels } = await takeAll(catalogueOf(bytes));
  const seen = { sender: [], receiver: [] };
  sender.on("progress", ({ written }) => seen.sender.push(written));
  download.on("progress", ({ written }) => seen.receiver.push(written));
  await download.finished;
  channels[1].close();
  await sent;
  for (const steps of Object.values(seen)) {
    assert.deepEqual(steps, steps.toSorted((a, b) => a - b));
    assert.equal(steps.at(-1), bytes.length);
  }
});

test("neither side is done before the sender has confirmed the hash", async () => {
  const { ends, download } = await takeAll(catalogueOf(randomBytes(100_000)));
  const states = [];
  download.on("progress", ({ state }) => states.push(state));
  let agreements = 0;
  ends[0].tamper = (data) => {
    if (typeof data !== "string" || JSON.parse(data).type !== "agreed") return data;
    assert.ok(!states.includes("done"));
    agreements += 1;
    return data;
  };
  await download.finished;
  assert.equal(agreements, 1);
  assert.equal(states.at(-1), "done");
});

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

test("stored pieces are compared, and only different ones are sent", async () => {
  const bytes = randomBytes(6 * MIB + 5);
  const disk = new FakeDisk();
  disk.put("0.bin", Buffer.concat([bytes.subarray(0, MIB), randomBytes(MIB), bytes.subarray(2 * MIB, 4 * MIB + 100)]));
  const { ends, download } = await takeAll(catalogueOf(bytes), { disk });
  await download.finished;
  assert.ok(disk.bytes("0.bin").equals(bytes));
  assert.equal(sentBytes(ends[1]), bytes.length - 3 * MIB);
});

const sentBytes = (end) => end.received.reduce((sum, data) => sum + (typeof data === "string" ? 0 : data.byteLength), 0);

test("a paused download sends no requests until it is resumed", async () => {
  const bytes = randomBytes(12 * MIB);
  const { disk, download } = await takeAll(catalogueOf(bytes));
  while (disk.written < MIB) await settle();
  download.pause();
  for (let last = -1; last !== disk.written; ) {
    last = disk.written;
    for (let turn = 0; turn < 50; turn++) await settle();
  }
  assert.ok(disk.written <= 6 * MIB, `${disk.written} bytes were written after the pause`);
  assert.equal(download.progress.state, "paused");
  download.resume();
  await download.finished;
  assert.ok(disk.bytes("0.bin").equals(bytes));
});

test("cancelling discards what was stored, and the sender is notified", async () => {
  const { sender, disk, download } = await takeAll(catalogueOf(randomBytes(9 * MIB)));
  const told = new Promise((resolve) => sender.on("progress", ({ state }) => state === "cancelled" && resolve(true)));
  while (disk.written < MIB) await settle();
  download.cancel();
  await assert.rejects(download.finished, { name: "TransferError", reason: "cancelled" });
  assert.equal(await told, true);
  assert.deepEqual(disk.names, []);
});

test("the sender may end the transfer of one receiver, which is notified", async () => {
  const { sender, disk, download } = await takeAll(catalogueOf(randomBytes(9 * MIB)));
  while (disk.written < MIB) await settle();
  sender.stop();
  assert.doesNotThrow(() => sender.stop(), "a second press of the button");
  await assert.rejects(download.finished, { name: "TransferError", reason: "cancelled" });
});

test("files may be added and removed while they are shared; a removed file fails alone", async () => {
  const catalogue = catalogueOf(randomBytes(10), randomBytes(20));
  const { receiver, clock } = connect(catalogue);
  assert.equal((await listed(receiver)).length, 2);
  const [first] = receiver.entries;
  catalogue.add([{ file: new File(["x"], "new.txt") }]);
  catalogue.remove(first.id);
  while (receiver.entries.length !== 2 || receiver.entries[1].path[0] !== "new.txt") await clock.advance(100);
  const disk = new FakeDisk();
  const download = new Download([first, ...receiver.entries], disk);
  await download.transferFrom(receiver);
  const { files, failed } = await download.finished;
  assert.equal(files.length, 2);
  assert.deepEqual(failed.map(({ entry, error }) => [entry.id, error.reason]), [[first.id, "removed"]]);
});

test("a list of thousands of files with long names arrives in several messages", async () => {
  const catalogue = new Catalogue();
  catalogue.add(Array.from({ length: 3_000 }, (_, at) => ({ file: new File([], "x"), path: ["深".repeat(60), `${at}`] })));
  const { receiver, ends } = connect(catalogue);
  assert.equal((await listed(receiver)).length, 3_000);
  assert.ok(ends[1].received.every((text) => Buffer.byteLength(text) < 64 * 1024));
});

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

test("a full disk is an error of the receiver, and stored pieces are kept for a retry", async () => {
  const disk = new FakeDisk({ room: 2 * MIB });
  const { download, sender } = await takeAll(catalogueOf(randomBytes(5 * MIB)), { disk });
  const told = new Promise((resolve) => sender.on("progress", ({ state }) => state === "failed" && resolve(true)));
  await assert.rejects(download.finished, { reason: "storage" });
  assert.equal(await told, true);
  assert.equal(disk.bytes("0.bin").length, 2 * MIB);
});

const requestsIn = (end) => end.received.map((text) => JSON.parse(text)).filter(({ type }) => ["batch", "pull", "stored"].includes(type));

test("1,000 small files arrive by four requests, each complete, before a large one that the list has in their midst", async () => {
  const contents = Array.from({ length: 1_001 }, (_, at) => randomBytes(at === 500 ? 70_000 : at % 300));
  const { ends, disk, download } = await takeAll(catalogueOf(...contents));
  const { files, failed } = await download.finished;
  assert.deepEqual([files.length, failed.length], [1_001, 0]);
  for (const [at, bytes] of contents.entries()) assert.ok(disk.bytes(`${at}.bin`).equals(bytes), `${at}`);
  const requests = requestsIn(ends[0]);
  assert.deepEqual(requests.map(({ type }) => type), ["batch", "batch", "batch", "batch", "pull", "stored"]);
  assert.ok(requests.every(({ files = [] }) => files.length <= 256));
});

test("a batch has at most 1 MiB", async () => {
  const { ends, download } = await takeAll(catalogueOf(...Array.from({ length: 40 }, () => randomBytes(60_000))));
  await download.finished;
  assert.deepEqual(requestsIn(ends[0]).map(({ files }) => files.length), [17, 17, 6]);
});

test("a target that is a stream gets its files in the order of the list", async () => {
  const disk = new FakeDisk();
  disk.allOrNothing = true;
  const order = [];
  const open = disk.open.bind(disk);
  disk.open = async (entry) => Object.assign(await open(entry), { close: async () => void order.push(entry.path[0]) });
  const { download } = await takeAll(catalogueOf(randomBytes(10), randomBytes(70_000), randomBytes(20)), { disk });
  await download.finished;
  assert.deepEqual(order, ["0.bin", "1.bin", "2.bin"]);
});

test("a small file that cannot be read fails alone, and the others of its batch arrive", async () => {
  const gone = { name: "gone.txt", size: 5, slice: () => ({ arrayBuffer: () => Promise.reject(new Error("gone")) }) };
  const catalogue = catalogueOf("first", [["gone.txt"], gone], "third");
  const faults = [];
  catalogue.on("fault", ({ path }) => faults.push(path[0]));
  const { disk, download, sender } = await takeAll(catalogue);
  const told = new Promise((resolve) => sender.on("progress", (report) => report.state === "done" && resolve(report.failed)));
  const { failed } = await download.finished;
  assert.equal(await told, 1);
  assert.deepEqual([disk.names, failed.map(({ error }) => error.reason), faults], [["0.bin", "2.bin"], ["unreadable"], ["gone.txt"]]);
});

test("small files that an earlier download has stored are compared and not sent again, and a different one is", async () => {
  const contents = Array.from({ length: 20 }, () => randomBytes(1_000));
  const stored = (entries) => entries.map((_, at) => (at === 7 ? new Uint8Array(randomBytes(1_000)) : at < 15 ? new Uint8Array(contents[at]) : null));
  const disk = new FakeDisk();
  let written = [];
  Object.assign(disk, { readBatch: async (entries) => stored(entries), writeBatch: async (files) => void (written = files) });
  const { ends, download } = await takeAll(catalogueOf(...contents), { disk });
  await download.finished;
  assert.equal(sentBytes(ends[1]), 6_000);
  assert.deepEqual(written.flatMap(({ isStored }, at) => (isStored ? [] : [at])), [7, 15, 16, 17, 18, 19]);
  for (const [at, { bytes }] of written.entries()) assert.ok(contents[at].equals(bytes), `${at}`);
});

test("after a lost connection only the small files are requested that have not arrived", async () => {
  const contents = Array.from({ length: 1_500 }, () => randomBytes(200));
  const catalogue = catalogueOf(...contents);
  const first = await takeAll(catalogue);
  while (first.disk.written < 256 * 200) await settle();
  first.ends[0].cut();
  assert.equal(await first.over, false);
  const kept = first.disk.written;
  const second = connect(catalogue);
  await Promise.all([first.download.transferFrom(second.receiver), first.download.finished]);
  assert.equal(sentBytes(second.ends[1]), contents.length * 200 - kept);
  for (const [at, bytes] of contents.entries()) assert.ok(first.disk.bytes(`${at}.bin`).equals(bytes), `${at}`);
});

test("three receivers at once get the same bytes", async () => {
  const bytes = randomBytes(4 * MIB + 3);
  const catalogue = catalogueOf(bytes);
  const three = await Promise.all([1, 2, 3].map(() => takeAll(catalogue)));
  await Promise.all(three.map(({ download }) => download.finished));
  for (const { disk } of three) assert.ok(disk.bytes("0.bin").equals(bytes));
});

test("a byte that was altered on the way is detected by the hash of its piece", async () => {
  const { ends, download, received } = await takeAll(catalogueOf(randomBytes(3 * MIB)));
  let count = 0;
  ends[0].tamper = (data) => {
    if (typeof data === "string" || ++count !== 20) return data;
    const changed = data.slice();
    new Uint8Array(changed)[5] ^= 1;
    return changed;
  };
  await assert.rejects(download.finished, { reason: "hash" });
  assert.equal((await received).reason, "hash");
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

for (const [title, message] of [
  ["a piece beyond the end", { type: "pull", id: "1", piece: 4 }],
  ["a piece before the start", { type: "pull", id: "1", piece: -1 }],
  ["a piece that is no number", { type: "pull", id: "1", piece: "0" }],
  ["a piece of an empty file", { type: "pull", id: "2", piece: 0 }],
  ["more written than there is", { type: "progress", state: "downloading", written: 2, total: 1, failed: 0 }],
  ["a state that is none", { type: "progress", state: "<b>", written: 0, total: 1, failed: 0 }],
  ["no count of failed files", { type: "progress", state: "done", written: 0, total: 1 }],
  ["a word that is none", { type: "delete", id: "1" }],
]) {
  test(`a sender refuses ${title}`, async () => {
    const { channels, sent } = connect(catalogueOf(randomBytes(4 * MIB), randomBytes(0)));
    channels[1].send(message);
    assert.equal((await sent).name, "ProtocolError");
  });
}

/** A receiver that requests one piece of five bytes, and a sender that sends the given messages. */
async function asking(messages) {
  const [end, other] = fakeChannelPair();
  const [channel, theirs] = [end, other].map((channel) => new RtcMessageChannel(channel));
  const receiver = new Receiver(theirs);
  const ended = receiver.run().catch((error) => error);
  const reply = receiver.requestPiece({ id: "1", path: ["x"], size: 5, type: "" }, 0);
  reply.catch(() => {});
  for (const message of messages) await (message.type ? channel.send(message) : channel.sendBytes(message));
  return ended;
}

for (const [title, messages] of [
  ["another piece than asked for", [{ type: "piece", id: "1", piece: 1, length: 5 }]],
  ["a piece of another file", [{ type: "piece", id: "2", piece: 0, length: 5 }]],
  ["a piece of another length", [{ type: "piece", id: "1", piece: 0, length: 6 }]],
  ["more bytes than the piece has", [{ type: "piece", id: "1", piece: 0, length: 5 }, new Uint8Array(6)]],
  ["no bytes", [{ type: "piece", id: "1", piece: 0, length: 5 }, new Uint8Array(0)]],
  ["bytes without a piece", [new Uint8Array(5)]],
  ["words amid the bytes", [{ type: "piece", id: "1", piece: 0, length: 5 }, { type: "agreed", id: "1" }]],
  ["an agreement that it did not ask for", [{ type: "agreed", id: "1" }]],
  ["a file of a negative size", [{ type: "list", entries: [{ id: "1", path: ["x"], size: -1 }], last: true }]],
  ["a file of half a byte", [{ type: "list", entries: [{ id: "1", path: ["x"], size: 0.5 }], last: true }]],
  ["a list that is none", [{ type: "list", entries: "x", last: true }]],
]) {
  test(`a receiver refuses ${title}`, async () => assert.equal((await asking(messages)).name, "ProtocolError"));
}

/** What a receiver that has asked for two small files thinks of these messages. */
async function askingForBatch(messages) {
  const [channel, theirs] = fakeChannelPair().map((channel) => new RtcMessageChannel(channel));
  const receiver = new Receiver(theirs);
  const ended = receiver.run().catch((error) => error);
  const entry = (id) => ({ id, path: [id], size: 5, type: "" });
  receiver.requestBatch([{ entry: entry("1"), storedHash: "0" }, { entry: entry("2") }]).catch(() => {});
  for (const message of messages) await (message.type ? channel.send(message) : channel.sendBytes(message));
  return ended;
}

const anyHash = { sha256: "0".repeat(64) };
for (const [title, name, messages] of [
  ["of fewer files", "ProtocolError", [{ type: "batch", files: [anyHash] }]],
  ["of more files", "ProtocolError", [{ type: "batch", files: [anyHash, anyHash, anyHash] }]],
  ["without files", "ProtocolError", [{ type: "batch" }]],
  ["with nothing about a file", "ProtocolError", [{ type: "batch", files: [anyHash, null] }]],
  ["with a hash that is no text", "ProtocolError", [{ type: "batch", files: [anyHash, { sha256: 7 }] }]],
  ["that calls a file stored which is not", "ProtocolError", [{ type: "batch", files: [anyHash, { same: true }] }]],
  ["of more bytes", "ProtocolError", [{ type: "batch", files: [{ same: true }, anyHash] }, new Uint8Array(6)]],
  ["of which the sender gives up on all at once", "ProtocolError", [{ type: "failed", reason: "removed" }]],
  ["that is a piece", "ProtocolError", [{ type: "piece", piece: 0, length: 5 }]],
  ["of bytes with another hash", "TransferError", [{ type: "batch", files: [{ same: true }, anyHash] }, new Uint8Array(5)]],
]) {
  test(`a receiver refuses a batch ${title}`, async () => assert.equal((await askingForBatch(messages)).name, name));
}

test("names are sanitized before anybody sees them", async () => {
  const catalogue = new Catalogue();
  catalogue.add([
    { file: new File([], "x"), path: ["../\u202Egpj.exe"] },
    { file: new File([], "x"), path: ["..", "/", "con"] },
  ]);
  const { receiver } = connect(catalogue);
  assert.deepEqual((await listed(receiver)).map(({ path }) => path), [["_gpj.exe"], ["file", "_", "_con"]]);
});

test("a flood of unrequested messages closes the channel", async () => {
  const [end, other] = fakeChannelPair();
  const [channel, theirs] = [new RtcMessageChannel(end), new RtcMessageChannel(other)];
  const flood = (async () => {
    for (let n = 0; n < 200; n++) await channel.sendBytes(new Uint8Array(65_536));
  })();
  await assert.rejects(flood, { name: "PeerError" });
  await assert.rejects(async () => {
    for (;;) await theirs.receive();
  }, { name: "ProtocolError", message: /more than was requested/ });
});

test("a memory target stores every piece", async () => {
  const bytes = randomBytes(5 * MIB);
  const { download } = await takeAll(catalogueOf(bytes), { disk: new MemoryTarget() });
  const [{ blob }] = (await download.finished).files;
  assert.ok(bytes.equals(new Uint8Array(await blob.arrayBuffer())));
});

test("a memory target hands over one file as it is, and several as a zip", async () => {
  const { download } = await takeAll(catalogueOf("one"), { disk: new MemoryTarget() });
  const [{ name, blob }] = (await download.finished).files;
  assert.deepEqual([name, await blob.text()], ["0.bin", "one"]);
  const several = await takeAll(catalogueOf("one", "two"), { disk: new MemoryTarget() });
  const [zip] = (await several.download.finished).files;
  assert.deepEqual([zip.name, zip.blob.type], ["handclasp.zip", "application/zip"]);
});

test("an empty folder arrives in the archive, also if it is all there is", async () => {
  const { download } = await takeAll(catalogueOf("one", [["a", "empty"], emptyFolder("empty")]), { disk: new MemoryTarget() });
  const [zip] = (await download.finished).files;
  const members = await unzip(Buffer.from(await zip.blob.arrayBuffer()));
  assert.deepEqual([...members].map(([name, bytes]) => [name, bytes.length]), [["0.bin", 3], ["a/empty/", 0]]);
  const alone = await takeAll(catalogueOf([["empty"], emptyFolder("empty")]), { disk: new MemoryTarget() });
  assert.equal((await alone.download.finished).files[0].name, "handclasp.zip");
});

test("speed and time left follow recent progress", async () => {
  const clock = new FakeClock();
  const throughput = new Throughput(10_000, { clock });
  assert.deepEqual(throughput.update(0), { speed: 0, secondsLeft: Infinity });
  await clock.advance(1_000);
  assert.deepEqual(throughput.update(1_000), { speed: 1_000, secondsLeft: 9 });
  throughput.skip(1_000);
  assert.deepEqual(throughput.update(2_000), { speed: 1_000, secondsLeft: 8 });
  for (let second = 0; second < 7; second++) {
    await clock.advance(1_000);
    throughput.update(2_000);
  }
  assert.deepEqual(throughput.update(2_000), { speed: 0, secondsLeft: Infinity });
});
