/** Transfers over message channels: complete files with confirmed hashes, or an explicit error; never a hang. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Catalogue } from "../../web/lib/share/catalogue.js";
import { emptyFolder, textFile } from "../../web/lib/share/file-entry.js";
import { Download, MemoryTarget, TextTarget } from "../../web/lib/share/index.js";
import { MAX_TEXT_BYTES } from "../../web/lib/share/protocol.js";
import { Throughput } from "../../web/lib/share/throughput.js";
import { unzip } from "../unzip.mjs";
import { FakeDisk } from "./fake-disk.mjs";
import { FakeClock, settle } from "./fakes.mjs";
import { MIB, catalogueOf, connect, listed, takeAll } from "./transfer-setup.mjs";

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

test("a full disk is an error of the receiver, and stored pieces are kept for a retry", async () => {
  const disk = new FakeDisk({ room: 2 * MIB });
  const { download, sender } = await takeAll(catalogueOf(randomBytes(5 * MIB)), { disk });
  const told = new Promise((resolve) => sender.on("progress", ({ state }) => state === "failed" && resolve(true)));
  await assert.rejects(download.finished, { reason: "storage" });
  assert.equal(await told, true);
  assert.equal(disk.bytes("0.bin").length, 2 * MIB);
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
