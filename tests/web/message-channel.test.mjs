/** RtcMessageChannel: reading in order, waiting for room, signs of life, and how it ends. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PeerError } from "../../web/lib/rtc/index.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";

function setUp(options) {
  const clock = new FakeClock();
  const ends = fakeChannelPair(options);
  return { clock, ends, links: ends.map((end) => new RtcMessageChannel(end, { clock })) };
}

test("messages are read in the order they were sent, text and bytes", async () => {
  const { links } = setUp();
  links[0].send({ type: "a" });
  await links[0].sendBytes(new Uint8Array([1, 2]));
  links[0].send({ type: "b" });
  assert.deepEqual(await links[1].receive(), { type: "a" });
  assert.deepEqual(await links[1].receive(), new Uint8Array([1, 2]).buffer);
  assert.deepEqual(await links[1].expect(["b"]), { type: "b" });
});

test("what arrived before the end is still read, then the end is told", async () => {
  const { links } = setUp();
  links[0].send({ type: "last words" });
  links[0].close();
  await settle();
  await settle();
  assert.deepEqual(await links[1].receive(), { type: "last words" });
  await assert.rejects(links[1].receive(), { name: "PeerError", reason: "lost" });
  assert.throws(() => links[0].send({ type: "x" }), { reason: "closed" });
});

test("a writer that waits for room is told when the link ends", async () => {
  const { ends, links } = setUp({ pace: () => 0 });
  const waiting = (async () => {
    for (let n = 0; n < 9; n++) await links[0].sendBytes(new Uint8Array(65_536));
  })();
  await settle();
  assert.equal(ends[0].bufferedAmount, 262_144);
  ends[0].cut();
  await assert.rejects(waiting, { name: "PeerError", reason: "lost" });
});

test("a reader gives up after its timeout, and the next message is not lost to it", async () => {
  const { clock, links } = setUp();
  const read = assert.rejects(links[1].receive({ timeout: 100 }), { name: "TimeoutError" });
  await clock.advance(100);
  await read;
  links[0].send({ type: "late" });
  assert.deepEqual(await links[1].receive(), { type: "late" });
});

test("a reader gives up by its signal, and the next message is the next reader's", async () => {
  const { links } = setUp();
  const control = new AbortController();
  const read = assert.rejects(links[1].receive({ signal: control.signal }), { name: "AbortedError" });
  control.abort();
  await read;
  links[0].send({ type: "late" });
  assert.deepEqual(await links[1].receive(), { type: "late" });
});

test("a writer gives up waiting for room, and its bytes are not sent", async () => {
  let pace = 0;
  const { ends, links } = setUp({ pace: () => pace });
  for (let n = 0; n < 4; n++) await links[0].sendBytes(new Uint8Array(65_536));
  const control = new AbortController();
  const waiting = assert.rejects(links[0].sendBytes(new Uint8Array(1), { signal: control.signal }), { name: "AbortedError" });
  control.abort();
  await waiting;
  pace = 4;
  await links[0].sendBytes(new Uint8Array(2));
  while (ends[1].received.length < 5) await settle();
  assert.deepEqual(ends[1].received.map(({ byteLength }) => byteLength), [65_536, 65_536, 65_536, 65_536, 2]);
});

test("text that is no control message breaks the protocol", async () => {
  for (const text of ["{", "null", "[]", '{"type":5}', "7"]) {
    const { ends, links } = setUp();
    ends[0].send(text);
    await assert.rejects(links[1].receive(), { name: "ProtocolError" }, text);
  }
});

test("a text longer than 64 KiB ends the link", async () => {
  const { ends, links } = setUp();
  ends[0].send(JSON.stringify({ type: "x".repeat(70_000) }));
  await assert.rejects(links[1].receive(), { name: "ProtocolError" });
});

test("a sign of life is answered by the link itself, unseen by its reader", async () => {
  const { clock, links } = setUp();
  const alive = links[0].probe(1_000);
  links[0].send({ type: "real" });
  await settle();
  await settle();
  await clock.advance(1_000);
  assert.equal(await alive, true);
  assert.deepEqual(await links[1].receive(), { type: "real" });
});

test("other messages are a reprieve, silence is death", async () => {
  const { clock, ends, links } = setUp();
  ends[0].tamper = () => "lost on the way";
  const alive = links[0].probe(1_000);
  for (let n = 0; n < 3; n++) {
    links[1].send({ type: "busy" });
    await clock.advance(1_000);
  }
  await clock.advance(1_000);
  assert.equal(await alive, false);
});

test("a link that has ended is not alive", async () => {
  const { links } = setUp();
  links[0].close(new PeerError("closed", "over"));
  assert.equal(await links[0].probe(), false);
});
