/** Previews: small, validated, and independent of the transfer. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Catalogue } from "../../web/lib/share/catalogue.js";
import { Download } from "../../web/lib/share/index.js";
import { PreviewCache, previewBlob } from "../../web/lib/share/preview.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { Sender } from "../../web/lib/share/sender.js";
import { toBase64url } from "../../web/lib/util/bytes.js";
import { FakeDisk } from "./fake-disk.mjs";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";

/** The start of a JPEG with its dimensions. */
function jpeg({ width = 160, height = 120, length = 2_000, frame = 0xc0 } = {}) {
  const bytes = new Uint8Array(length);
  const u16 = (value) => [value >> 8, value & 255];
  bytes.set([0xff, 0xd8, 0xff, 0xe0, ...u16(16), ...Array(14).fill(0)]);
  bytes.set([0xff, frame, ...u16(17), 8, ...u16(height), ...u16(width)], 20);
  return bytes;
}

const image = (name, bytes = 100, type = "image/png") => ({ file: new File([new Uint8Array(bytes)], name, { type }) });

/** A sender whose previews are rendered by `draw`, and its receiver, after the list has arrived. */
async function connect(offers, draw = async () => jpeg()) {
  const catalogue = new Catalogue({ renderPreview: draw });
  catalogue.add(offers);
  const clock = new FakeClock();
  const ends = fakeChannelPair();
  const channels = ends.map((end) => new RtcMessageChannel(end, { clock }));
  const sent = new Sender(channels[0], catalogue).run().catch((error) => error);
  const receiver = new Receiver(channels[1], { clock });
  const received = receiver.run().catch((error) => error);
  while (receiver.entries.length === 0) await settle();
  return { ends, channels, receiver, sent, received, entries: receiver.entries };
}

const asked = ({ ends }) => ends[0].received.filter((data) => JSON.parse(data).type === "preview").length;

test("an image's preview arrives as a JPEG and is requested once", async () => {
  const all = await connect([image("a.png")]);
  const [one, other] = await Promise.all([1, 2].map(() => all.receiver.preview(all.entries[0])));
  assert.deepEqual([one.type, one.size, other.size], ["image/jpeg", 2_000, 2_000]);
  assert.equal(asked(all), 1);
});

for (const [title, offer] of [
  ["a document that draws", image("a.svg", 100, "image/svg+xml")],
  ["no image", image("a.txt", 100, "text/plain")],
  ["an empty file", image("a.png", 0)],
]) {
  test(`${title} has no preview, and none is requested`, async () => {
    const all = await connect([offer]);
    assert.equal(await all.receiver.preview(all.entries[0]), null);
    assert.equal(asked(all), 0);
  });
}

test("an image that cannot be rendered has no preview, and is sent nevertheless", async () => {
  const all = await connect([image("a.png")], () => Promise.reject(new Error("broken")));
  assert.equal(await all.receiver.preview(all.entries[0]), null);
  const disk = new FakeDisk();
  const download = new Download(all.entries, disk);
  await Promise.all([download.transferFrom(all.receiver), download.finished]);
  assert.deepEqual(disk.names, ["a.png"]);
});

test("no piece waits for a preview, which may arrive within a piece", async () => {
  let draw = /** @type {(() => void) | null} */ (null);
  const bytes = randomBytes(8 * 2 ** 20);
  const slowly = () => new Promise((resolve) => (draw = () => resolve(jpeg())));
  const all = await connect([image("slow.png"), { file: new File([bytes], "big.bin") }], slowly);
  const picture = all.receiver.preview(all.entries[0]);
  while (!draw) await settle();
  const disk = new FakeDisk();
  const download = new Download(all.entries.slice(1), disk);
  void download.transferFrom(all.receiver);
  while (disk.written === 0) await settle();
  await once(all.ends[1], (data) => typeof data !== "string");
  draw();
  assert.ok(await picture);
  assert.ok(disk.written < bytes.length, "the picture came after all of the file");
  await download.finished;
  assert.ok(disk.bytes("big.bin").equals(bytes));
});

const once = (end, matches) => new Promise((resolve) => end.addEventListener("message", ({ data }) => matches(data) && resolve()));

test("a channel has fifty previews: a receiver requests no more, and a sender closes the channel otherwise", async () => {
  const all = await connect(Array.from({ length: 60 }, (_, at) => image(`${at}.png`)));
  const pictures = await Promise.all(all.entries.map((entry) => all.receiver.preview(entry)));
  assert.deepEqual([pictures.filter((picture) => picture).length, asked(all)], [50, 50]);
  all.channels[1].send({ type: "preview", id: "1" });
  assert.equal((await all.sent).name, "ProtocolError");
});

test("each preview is rendered once, and only one at a time", async () => {
  let atOnce = 0;
  let most = 0;
  let drawn = 0;
  const previews = new PreviewCache(async () => {
    most = Math.max(most, ++atOnce);
    await settle();
    atOnce -= 1;
    drawn += 1;
    return jpeg();
  });
  const files = Array.from({ length: 5 }, (_, at) => image(`${at}.png`).file);
  await Promise.all([...files, ...files].map((file) => previews.get(file)));
  assert.deepEqual([most, drawn], [1, 5]);
});

test("no preview is rendered for a receiver that has left", async () => {
  let drawn = 0;
  let draw = () => {};
  const all = await connect([image("a.png"), image("b.png")], () => (drawn++, new Promise((resolve) => (draw = () => resolve(jpeg())))));
  const pictures = all.entries.map((entry) => all.receiver.preview(entry));
  while (drawn === 0) await settle();
  all.ends[1].cut();
  assert.deepEqual(await Promise.all(pictures), [null, null]);
  draw();
  await all.sent;
  for (let turn = 0; turn < 20; turn++) await settle();
  assert.equal(drawn, 1);
});

for (const [title, bytes] of [
  ["wider than a preview", jpeg({ width: 161 })],
  ["of four thousand million pixels", jpeg({ width: 65_535, height: 65_535 })],
  ["of no height", jpeg({ height: 0 })],
  ["too many bytes", jpeg({ length: 16_385 })],
  ["of a kind that no camera makes", jpeg({ frame: 0xc9 })],
  ["cut short", jpeg().subarray(0, 25)],
  ["a PNG", new Uint8Array([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, ...Array(30).fill(0)])],
  ["a document", new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")],
  ["nothing", new Uint8Array()],
]) {
  test(`a receiver rejects a preview that is ${title}`, () => assert.equal(previewBlob(toBase64url(bytes)), null));
}

for (const junk of [null, undefined, 7, {}, "!", "A".repeat(60_000)]) {
  test(`a receiver rejects a preview made of ${JSON.stringify(junk)?.slice(0, 10)}`, () => assert.equal(previewBlob(junk), null));
}

test("an unrequested preview closes the channel", async () => {
  const all = await connect([image("a.png")]);
  all.channels[0].send({ type: "preview", id: "1", image: null });
  assert.equal((await all.received).name, "ProtocolError");
});
