/** RtcMessageChannel: receiving in order, waiting for room, pings, and closing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { PeerError } from "../../web/lib/rtc/index.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";

function setUp(options) {
  const clock = new FakeClock();
  const ends = fakeChannelPair(options);
  return { clock, ends, channels: ends.map((end) => new RtcMessageChannel(end, { clock })) };
}

test("messages are received in the order they were sent, text and bytes", async () => {
  const { channels } = setUp();
  channels[0].send({ type: "a" });
  await channels[0].sendBytes(new Uint8Array([1, 2]));
  channels[0].send({ type: "b" });
  assert.deepEqual(await channels[1].receive(), { type: "a" });
  assert.deepEqual(await channels[1].receive(), new Uint8Array([1, 2]).buffer);
  assert.deepEqual(await channels[1].expect(["b"]), { type: "b" });
});

test("messages from before the end are still received, then the error", async () => {
  const { channels } = setUp();
  channels[0].send({ type: "last words" });
  channels[0].close();
  await settle();
  await settle();
  assert.deepEqual(await channels[1].receive(), { type: "last words" });
  await assert.rejects(channels[1].receive(), { name: "PeerError", reason: "lost" });
  assert.throws(() => channels[0].send({ type: "x" }), { reason: "closed" });
});

test("a writer that waits for room fails when the channel ends", async () => {
  const { ends, channels } = setUp({ pace: () => 0 });
  const waiting = (async () => {
    for (let n = 0; n < 9; n++) await channels[0].sendBytes(new Uint8Array(65_536));
  })();
  await settle();
  assert.equal(ends[0].bufferedAmount, 262_144);
  ends[0].cut();
  await assert.rejects(waiting, { name: "PeerError", reason: "lost" });
});

test("a reader times out, and the next message is not lost", async () => {
  const { clock, channels } = setUp();
  const read = assert.rejects(channels[1].receive({ timeout: 100 }), { name: "TimeoutError" });
  await clock.advance(100);
  await read;
  channels[0].send({ type: "late" });
  assert.deepEqual(await channels[1].receive(), { type: "late" });
});

test("a reader is aborted, and the next message goes to the next reader", async () => {
  const { channels } = setUp();
  const control = new AbortController();
  const read = assert.rejects(channels[1].receive({ signal: control.signal }), { name: "AbortedError" });
  control.abort();
  await read;
  channels[0].send({ type: "late" });
  assert.deepEqual(await channels[1].receive(), { type: "late" });
});

test("a writer is aborted while it waits for room, and its bytes are not sent", async () => {
  let pace = 0;
  const { ends, channels } = setUp({ pace: () => pace });
  for (let n = 0; n < 4; n++) await channels[0].sendBytes(new Uint8Array(65_536));
  const control = new AbortController();
  const waiting = assert.rejects(channels[0].sendBytes(new Uint8Array(1), { signal: control.signal }), { name: "AbortedError" });
  control.abort();
  await waiting;
  pace = 4;
  await channels[0].sendBytes(new Uint8Array(2));
  while (ends[1].received.length < 5) await settle();
  assert.deepEqual(ends[1].received.map(({ byteLength }) => byteLength), [65_536, 65_536, 65_536, 65_536, 2]);
});

test("text that is not a control message is a protocol error", async () => {
  for (const text of ["{", "null", "[]", '{"type":5}', "7"]) {
    const { ends, channels } = setUp();
    ends[0].send(text);
    await assert.rejects(channels[1].receive(), { name: "ProtocolError" }, text);
  }
});

test("a text longer than 64 KiB closes the channel", async () => {
  const { ends, channels } = setUp();
  ends[0].send(JSON.stringify({ type: "x".repeat(70_000) }));
  await assert.rejects(channels[1].receive(), { name: "ProtocolError" });
});

test("a ping is answered by the channel itself and not passed to its reader", async () => {
  const { clock, channels } = setUp();
  const alive = channels[0].probe(1_000);
  channels[0].send({ type: "real" });
  await settle();
  await settle();
  await clock.advance(1_000);
  assert.equal(await alive, true);
  assert.deepEqual(await channels[1].receive(), { type: "real" });
});

test("any message counts as a sign of life, silence as death", async () => {
  const { clock, ends, channels } = setUp();
  ends[0].tamper = () => "lost on the way";
  const alive = channels[0].probe(1_000);
  for (let n = 0; n < 3; n++) {
    channels[1].send({ type: "busy" });
    await clock.advance(1_000);
  }
  await clock.advance(1_000);
  assert.equal(await alive, false);
});

test("a channel that has ended is not alive", async () => {
  const { channels } = setUp();
  channels[0].close(new PeerError("closed", "over"));
  assert.equal(await channels[0].probe(), false);
});
