/** What a hostile sharer or receiver sends takes bounded time and memory, and ends in a clear error. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Catalogue } from "../../web/lib/share/catalogue.js";
import { FileListReader, createFinder, sanitizeList } from "../../web/lib/share/file-list.js";
import { MAX_LIST_BYTES, MAX_TEXTS, MAX_TEXT_BYTES } from "../../web/lib/share/protocol.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { sanitizeFilename } from "../../web/lib/share/sanitize-filename.js";
import { sanitizePaths } from "../../web/lib/share/sanitize-paths.js";
import { Sender } from "../../web/lib/share/sender.js";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";

/** Far more than the work takes, far less than the same work takes when it grows with the square of its input. */
const HANG = 20_000;
const MIB = 1024 * 1024;

/** A receiver that is running, and the channel of its hostile sharer. */
function runReceiver() {
  const clock = new FakeClock();
  const [end, other] = fakeChannelPair({ pace: () => 1_000 });
  const [sharer, channel] = [end, other].map((channel) => new RtcMessageChannel(channel, { clock }));
  const receiver = new Receiver(channel, { clock });
  const ended = receiver.run().catch((error) => error);
  return { clock, sharer, receiver, ended };
}

/** A sender that is running, and the channel of its hostile receiver. */
function runSender(catalogue) {
  const clock = new FakeClock();
  const ends = fakeChannelPair({ pace: () => 1_000 });
  const [channel, receiver] = ends.map((end) => new RtcMessageChannel(end, { clock }));
  const sender = new Sender(channel, catalogue, { clock });
  const ended = sender.run().catch((error) => (channel.close(), error));
  return { clock, ends, receiver, sender, ended };
}

const entry = (id, path, size = 1) => ({ id: String(id), path, size, type: "" });

/** Counts the characters whose case is folded during the work. */
function foldedChars(work) {
  const original = String.prototype.toLowerCase;
  let chars = 0;
  String.prototype.toLowerCase = function () {
    chars += this.length;
    return original.call(this);
  };
  try {
    work();
  } finally {
    String.prototype.toLowerCase = original;
  }
  return chars;
}

test("deep paths of long names are made safe in one pass over their characters", () => {
  const name = (index) => `${index}`.padEnd(60, "x");
  const paths = Array.from({ length: 1_000 }, (_, index) => Array.from({ length: 32 }, (_, depth) => name(index * 32 + depth)));
  const chars = 1_000 * 32 * 60;
  assert.ok(foldedChars(() => sanitizePaths(paths)) <= 2 * chars);
});

for (const [title, name] of [
  ["spaces", (index) => `a${" ".repeat(4_000)}${index}`],
  ["dots", (index) => `a${".".repeat(4_000)} ${index}`],
  ["combining marks", (index) => `${index}${"\u0301\u0323".repeat(2_000)}`],
]) {
  test(`1,000 names full of ${title} do not block the receiver`, { timeout: HANG }, () => {
    const safe = sanitizePaths(Array.from({ length: 1_000 }, (_, index) => [name(index)]));
    assert.ok(safe.every(([name]) => Buffer.byteLength(name) <= 210));
  });
}

test("10,000 equal names are numbered without counting from the start for each", () => {
  const paths = Array.from({ length: 10_000 }, () => ["same.txt"]);
  let safe;
  const chars = foldedChars(() => (safe = sanitizePaths(paths)));
  assert.equal(new Set(safe.map(String)).size, 10_000);
  assert.ok(chars <= 10_000 * 2 * "same (10000).txt".length);
});

test("paths that are alike on some disk become different", () => {
  const paths = [["a", "b"], ["A", "B"], ["a"], ["straße"], ["STRASSE"], ["K"], ["\u212a"], ["é\u200b"], ["e\u0301"]];
  assert.deepEqual(sanitizePaths(paths).map((path) => path.join("/")), ["a/b", "A/B (2)", "a (2)", "straße", "STRASSE (2)", "K", "K (2)", "é", "é (2)"]);
});

test("names that differ only in what was removed, or in what cannot be seen, are told apart by numbers", () => {
  const paths = [["a.txt"], ["a\u202e.txt"], ["❤.txt"], ["❤\ufe0f.txt"], ["d", "x"], ["d\u200b", "x"], ["d\u200b", "y"], ["d", "y"], ["d (2)", "x"], ["a:b", "x"], ["a?b", "x"]];
  const safe = ["a.txt", "a (2).txt", "❤.txt", "❤\ufe0f (2).txt", "d/x", "d (2)/x", "d (2)/y", "d/y", "d (2) (2)/x", "a_b/x", "a_b (2)/x"];
  assert.deepEqual(sanitizePaths(paths).map((path) => path.join("/")), safe);
});

test("an empty folder is one with those that have files, and no file gets its name", () => {
  const paths = [["d"], ["d", "e"], ["d", "x"], ["d"], ["d", "\u202ee"]];
  const safe = sanitizePaths(paths, (index) => [1, 3, 4].includes(index));
  assert.deepEqual(safe.map((path) => path.join("/")), ["d (2)", "d/e", "d/x", "d", "d/e (2)"]);
});

test("the sender's name of a file is kept where it was changed, short and without what cannot be seen", () => {
  const paths = [["same.txt"], [".env"], ["d", "a\u202e:b"], ["invoice\u202efdp.exe"], ["e\u0301"], ["x".repeat(5_000)], ["same.txt"]];
  const sent = sanitizeList(paths.map((path, index) => entry(index, path))).map(({ sentAs }) => sentAs);
  assert.deepEqual(sent, [undefined, ".env", "d/a:b", undefined, undefined, "x".repeat(300), "same.txt"]);
});

test("10,000 folders whose names differ only in what was removed are numbered without counting from the start for each", { timeout: HANG }, () => {
  const paths = Array.from({ length: 10_000 }, (_, index) => [`d${"\u200b".repeat(index % 400)}${"\u200c".repeat(Math.floor(index / 400))}`, "x"]);
  assert.equal(new Set(sanitizePaths(paths).map(String)).size, 10_000);
});

test("a list of more than 4 MiB of names ends the transfer with a clear error", async () => {
  const { sharer, ended, receiver } = runReceiver();
  const long = "x".repeat(32_000);
  for (let id = 0; id * long.length <= MAX_LIST_BYTES; id++) sharer.send({ type: "list", entries: [entry(id, [long])], last: false });
  assert.deepEqual([(await ended).name, (await ended).reason, receiver.entries], ["TransferError", "list_too_large", []]);
});

test("a list of more than 10,000 files ends the transfer with a clear error", async () => {
  const { sharer, ended } = runReceiver();
  for (let part = 0; part < 101; part++) {
    sharer.send({ type: "list", entries: Array.from({ length: 100 }, (_, index) => entry(part * 100 + index, ["x"])), last: false });
  }
  assert.equal((await ended).reason, "too_many");
});

test("a sharer cannot add files whose names together exceed a list, and keeps those that it has", () => {
  const catalogue = new Catalogue();
  const add = (count) => catalogue.add(Array.from({ length: count }, () => ({ file: new File([], "x"), path: ["y".repeat(1_000), "z".repeat(1_000)] })));
  add(2_000);
  assert.throws(() => add(200), { name: "TransferError", reason: "list_too_large" });
  assert.deepEqual([catalogue.entries.length, add(1)[0].id], [2_000, "2001"]);
});

test("what is too large or too much to be shown as a text is a file", () => {
  const marked = (id, size, text = true) => ({ ...entry(id, [`${id}.txt`], size), text });
  const odd = [marked(1, MAX_TEXT_BYTES + 1), marked(2, 5, "yes"), { ...marked(3, 0), isFolder: true }];
  const many = Array.from({ length: MAX_TEXTS + 5 }, (_, index) => marked(index + 4, MAX_TEXT_BYTES));
  const list = sanitizeList(new FileListReader().read({ type: "list", entries: [...odd, ...many], last: true }) ?? []);
  assert.deepEqual(list.map(({ text }) => text === true), [...odd.map(() => false), ...many.map((_, index) => index < MAX_TEXTS)]);
});

for (const [title, entries] of [
  ["nothing as an entry", [null]],
  ["an id that is no text", [{ ...entry(1, ["x"]), id: { toString: 1 } }]],
  ["a type that is no text", [{ ...entry(1, ["x"]), type: [] }]],
  ["a size that is no number", [{ ...entry(1, ["x"]), size: { toString: 1, valueOf: 1 } }]],
  ["a path that is no list", [entry(1, "x")]],
  ["a name that is no text", [entry(1, ["x", {}])]],
  ["a folder that has bytes", [{ ...entry(1, ["x"]), isFolder: true }]],
  ["the same id twice", [entry(1, ["x"]), entry(1, ["y"])]],
]) {
  test(`a list with ${title} is a protocol error`, () => {
    assert.throws(() => new FileListReader().read({ type: "list", entries, last: true }), { name: "ProtocolError" });
  });
}

test("a flood of lists is shown once a second, the latest one last", async () => {
  const { clock, sharer, receiver } = runReceiver();
  const shown = [];
  receiver.on("list", (entries) => shown.push(entries.map(({ path }) => path[0])));
  for (let n = 0; n < 500; n++) sharer.send({ type: "list", entries: [entry(1, [`${n}`])], last: true });
  for (let turn = 0; turn < 50; turn++) await settle();
  assert.deepEqual(shown, [["0"]]);
  await clock.advance(1_000);
  assert.deepEqual(shown, [["0"], ["499"]]);
});

test("the files of an earlier list are found without comparing each with all", () => {
  const list = sanitizeList(Array.from({ length: 10_000 }, (_, index) => entry(index, ["folder", `${index}`])));
  let joins = 0;
  for (const { path } of list) path.join = (separator) => ((joins += 1), Array.prototype.join.call(path, separator));
  const find = createFinder(list);
  for (const wanted of list) assert.equal(find(wanted), wanted);
  assert.ok(joins <= 20_000, `${joins} paths were built`);
});

test("a piece in tiny messages is a protocol error", async () => {
  const { sharer, receiver, ended } = runReceiver();
  receiver.requestPiece(entry(1, ["x"], MIB), 0).catch(() => {});
  sharer.send({ type: "piece", id: "1", piece: 0, length: MIB });
  await sharer.sendBytes(new Uint8Array(1));
  assert.equal((await ended).name, "ProtocolError");
});

const strange = { toString: 1, valueOf: 1 };
for (const [title, message] of [
  ["a piece", { type: "pull", id: "1", piece: strange }],
  ["an id", { type: "pull", id: strange, piece: 0 }],
  ["an id of a preview", { type: "preview", id: strange }],
  ["a state", { type: "progress", state: strange, written: 0, total: 0, failed: 0 }],
  ["a count", { type: "progress", state: "done", written: strange, total: 0, failed: 0 }],
  ["a count of failed files", { type: "progress", state: "done", written: 0, total: 0, failed: strange }],
]) {
  test(`${title} that cannot become text is a protocol error of the receiver`, async () => {
    const catalogue = new Catalogue();
    catalogue.add([{ file: new File(["x"], "x") }]);
    const { receiver, ended } = runSender(catalogue);
    receiver.send(message);
    assert.equal((await ended).name, "ProtocolError");
  });
}

/** Requests this batch of a sender with 300 small files, a large one, and 20 of 60,000 bytes. */
async function requestBatch(files) {
  const catalogue = new Catalogue();
  const file = (size) => ({ file: new File([new Uint8Array(size)], "x") });
  catalogue.add([...Array.from({ length: 300 }, () => file(1)), file(70_000), ...Array.from({ length: 20 }, () => file(60_000))]);
  const { ends, receiver, ended } = runSender(catalogue);
  while (!(await receiver.expect(["list"])).last);
  receiver.send({ type: "batch", files });
  const answer = await receiver.receive().catch(() => null);
  return { answer, ended };
}

const ids = (first, count) => Array.from({ length: count }, (_, at) => ({ id: String(first + at) }));
for (const [title, files] of [
  ["that is no list", "x"],
  ["of no files", []],
  ["of 257 files", ids(1, 257)],
  ["of the same large file", ids(301, 1)],
  ["of more than 1 MiB", ids(302, 18)],
  ["of one file again and again, to more than 1 MiB", Array.from({ length: 18 }, () => ({ id: "302" }))],
  ["of nothing", [null]],
  ["of an id that is no text", [{ id: strange }]],
]) {
  test(`a sender refuses a batch ${title}`, async () => {
    const { ended } = await requestBatch(files);
    assert.equal((await ended).name, "ProtocolError");
  });
}

test("a batch of the most bytes and files is answered, and files that are not shared fail alone", async () => {
  const { answer } = await requestBatch([...ids(302, 17), ...ids(1, 238), { id: "gone", have: strange }]);
  assert.equal(answer.files.length, 256);
  assert.deepEqual(answer.files.at(-1), { failed: "removed" });
});

test("a list whose ids are longer than 64 characters is a protocol error", () => {
  assert.throws(() => new FileListReader().read({ type: "list", entries: [entry("1".repeat(65), ["x"])], last: true }), { name: "ProtocolError" });
});

test("a root that cannot become text fails that file alone", async () => {
  const catalogue = new Catalogue();
  catalogue.add([{ file: new File(["x"], "x") }]);
  const { receiver } = runSender(catalogue);
  await receiver.expect(["list"]);
  receiver.send({ type: "stored", id: "1", root: strange });
  assert.equal((await receiver.expect(["failed"])).type, "failed");
});

test("an id that is 30,000 arrays deep, which cannot be sent back, is a protocol error", async () => {
  const { ends, ended } = runSender(new Catalogue());
  ends[1].send(`{"type":"pull","piece":0,"id":${"[".repeat(30_000)}${"]".repeat(30_000)}}`);
  assert.equal((await ended).name, "ProtocolError");
});

test("a type of 64 KiB appears shortened in the error", async () => {
  const { receiver, ended } = runSender(new Catalogue());
  receiver.send({ type: "x".repeat(60_000) });
  assert.ok((await ended).message.length < 200);
});

test("a receiver that reports its progress in a flood is cut off", async () => {
  const { receiver, sender, ended } = runSender(new Catalogue());
  let reports = 0;
  sender.on("progress", () => (reports += 1));
  for (let n = 0; n < 1_000; n++) receiver.send({ type: "progress", state: n % 2 ? "paused" : "downloading", written: 0, total: 1, failed: 0 });
  assert.equal((await ended).name, "ProtocolError");
  assert.equal(reports, 200);
});

test("answers and lists wait for room in the send buffer, however many are requested", async () => {
  const catalogue = new Catalogue();
  const [{ id }] = catalogue.add(Array.from({ length: 3_000 }, () => ({ file: new File(["x"], "x"), path: ["y".repeat(500)] })));
  const { ends, receiver, ended } = runSender(catalogue);
  for (let n = 0; n < 1_000; n++) receiver.send({ type: "pull", id: "gone", piece: 0 });
  for (let n = 0; n < 10; n++) catalogue.add([{ file: new File([], `${n}`) }]);
  for (let turn = 0; turn < 200; turn++) await settle();
  assert.ok(ends[0].peak <= 256 * 1024, `${ends[0].peak} bytes were queued`);
  catalogue.remove(id);
  ends[0].cut();
  assert.equal((await ended).reason, "lost");
});

test("a sharer stops hashing a file when the receiver that asked for it is gone", async () => {
  const catalogue = new Catalogue();
  let reads = 0;
  const bytes = randomBytes(8);
  const slice = (start, end) => {
    reads += 1;
    if (reads === 3) ends[0].cut();
    return new Blob([new Uint8Array(end - start).fill(bytes[0])]);
  };
  catalogue.add([{ file: { name: "x", size: 500 * MIB, slice } }]);
  const { ends, receiver, ended } = runSender(catalogue);
  receiver.send({ type: "stored", id: "1", root: "" });
  await ended;
  for (let last = -1; last !== reads; ) {
    last = reads;
    for (let turn = 0; turn < 50; turn++) await settle();
  }
  assert.ok(reads <= 4, `${reads} of 500 pieces were read`);
});

test("a sanitized name is short, whatever the name was", () => {
  assert.equal(sanitizeFilename(`${"a".repeat(100_000)}.pdf`).endsWith(".pdf"), true);
});
