/** Small files travel in batches. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { FakeDisk } from "./fake-disk.mjs";
import { settle } from "./fakes.mjs";
import { catalogueOf, connect, requestsIn, sentBytes, takeAll } from "./transfer-setup.mjs";

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
