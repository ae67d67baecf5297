/** Messages that break the transfer protocol: each side refuses them. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Catalogue } from "../../web/lib/share/catalogue.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { fakeChannelPair } from "./fakes.mjs";
import { MIB, catalogueOf, connect, listed } from "./transfer-setup.mjs";

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
