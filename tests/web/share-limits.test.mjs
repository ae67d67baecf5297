/** A share for one download, and a share that expires: whom it admits, and what it tells the others. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterEach, mock, test } from "node:test";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { FileShare, prove } from "../../web/lib/share/index.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { Emitter } from "../../web/lib/util/emitter.js";
import { isTemporary } from "../../web/lib/util/temporary.js";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";

const key = new Uint8Array(randomBytes(16));
const MINUTE = 60_000;
const in10Minutes = () => new Date(Date.now() + 10 * MINUTE);

afterEach(() => mock.restoreAll());

/** A share, and receivers that prove the key. */
function setUp(options = {}) {
  const clock = new FakeClock();
  const peer = new Emitter();
  const share = new FileShare(peer, key, { clock, ...options });
  const said = [];
  share.on("closed", (cause) => said.push(`closed ${cause}`));
  share.on("ended", (cause) => said.push(`ended ${cause}`));
  const call = (peerId) => {
    const ends = fakeChannelPair();
    const [theirs, channel] = ends.map((end) => new RtcMessageChannel(end, { clock }));
    peer.emit("connection", { peerId, opened: Promise.resolve(theirs), fingerprints: () => ({ local: "A", remote: "B" }), close() {} });
    return { ends, channel };
  };
  const visit = async (peerId, linkKey = key) => {
    const { ends, channel } = call(peerId);
    const isProved = await prove(channel, { key: linkKey, role: "receiver", fingerprints: { local: "B", remote: "A" } }).then(() => true, () => false);
    await settle();
    const messages = () => ends[1].received.filter((data) => typeof data === "string").map((text) => JSON.parse(text));
    const end = async () => {
      for (let n = 0; n < 5; n++) await settle();
      return messages().find(({ type }) => type === "end") ?? null;
    };
    return { ends, channel, isProved, end };
  };
  const report = async ({ channel }, state, written, failed = 0) => {
    channel.send({ type: "progress", state, written, total: 10, failed });
    await settle();
  };
  return { clock, share, said, call, visit, report };
}

const BUSY = { type: "end", reason: "cancelled", cause: "busy" };
const USED = { type: "end", reason: "ended", cause: "used" };
const EXPIRED = { type: "end", reason: "ended", cause: "expired" };

test("a share for one download ends when a receiver has got all that it chose, and later ones are told", async () => {
  const { share, said, visit, report } = setUp({ once: true });
  const first = await visit("first");
  await report(first, "downloading", 4);
  assert.deepEqual([share.closed, await first.end()], [null, null]);
  await report(first, "done", 10);
  while (share.receivers[0].isConnected) await settle();
  assert.deepEqual([share.closed, await first.end(), share.receivers[0].state], ["used", USED, "done"]);
  assert.deepEqual(await (await visit("late")).end(), USED);
  assert.deepEqual(await (await visit("first")).end(), USED);
  assert.deepEqual(share.receivers.map(({ peerId }) => peerId), ["first"]);
  assert.deepEqual(said, ["closed used", "ended used"]);
});

test("the end of a share that was used waits until its receiver knows", async () => {
  const { share, visit } = setUp({ once: true });
  const { channel, ends } = await visit("first");
  const [receiver] = share.receivers;
  const isDone = new Promise((resolve) => receiver.on("change", () => receiver.state === "done" && resolve()));
  const stopped = isDone.then(async () => {
    while (receiver.isConnected) await null;
    await share.stop();
  });
  channel.send({ type: "progress", state: "done", written: 10, total: 10, failed: 0 });
  await stopped;
  assert.deepEqual(JSON.parse(ends[1].received.at(-1)), USED);
});

test("only one receiver is served at a time, and the next one when it has left without all", async () => {
  const { share, said, visit, report } = setUp({ once: true });
  const first = await visit("first");
  assert.deepEqual(await (await visit("second")).end(), BUSY);
  await report(first, "downloading", 4);
  assert.deepEqual(await (await visit("second")).end(), BUSY);
  assert.equal(await (await visit("first")).end(), null, "the same receiver connects again");
  first.ends[1].cut();
  await report(await visit("first"), "done", 7, 1); // a file could not be read
  assert.equal(share.closed, null);
  share.receivers[0].cancel();
  while (share.receivers[0].isConnected) await settle();
  assert.equal(await (await visit("second")).end(), null);
  assert.deepEqual(said, []);
});

test("a receiver that has proved and does nothing makes room after the idle time, but only when another one comes", async () => {
  const { clock, share, visit, report } = setUp({ once: true, idleTimeout: MINUTE });
  const idle = await visit("idle");
  await clock.advance(MINUTE - 1);
  assert.deepEqual(await (await visit("early")).end(), BUSY);
  await clock.advance(1);
  assert.equal(await idle.end(), null);
  assert.equal((await visit("stranger", new Uint8Array(16))).isProved, false);
  assert.equal(await idle.end(), null);
  const next = await visit("next");
  assert.deepEqual([await idle.end(), await next.end()], [BUSY, null]);
  assert.deepEqual(share.receivers.map(({ peerId, state }) => [peerId, state]), [["idle", "left"], ["next", "verified"]]);
  assert.deepEqual(await (await visit("idle")).end(), BUSY);
  await report(next, "done", 10);
  assert.deepEqual([share.closed, await (await visit("idle")).end()], ["used", USED]);
});

test("a receiver that has made room does not take the place of the one that came", async () => {
  const { clock, visit } = setUp({ once: true, idleTimeout: MINUTE });
  await visit("idle");
  await clock.advance(MINUTE);
  const next = await visit("next");
  await clock.advance(2 * MINUTE);
  assert.deepEqual([await (await visit("idle")).end(), await next.end()], [BUSY, null]);
  assert.equal(await (await visit("third")).end(), null);
  assert.deepEqual(await next.end(), BUSY);
});

test("what a receiver writes or requests, and a change of its state, keep its place; the same report again does not", async () => {
  const { clock, share, visit, report } = setUp({ once: true, idleTimeout: MINUTE });
  const [entry] = share.catalogue.add([{ file: new File(["0123456789"], "a.txt") }]);
  const active = await visit("active");
  const pull = async () => {
    active.channel.send({ type: "pull", id: entry.id, piece: 0 });
    for (let n = 0; n < 20; n++) await settle();
  };
  for (const act of [() => report(active, "downloading", 0), () => report(active, "downloading", 4), pull, () => report(active, "paused", 4)]) {
    await clock.advance(MINUTE - 1);
    await act();
    await clock.advance(MINUTE - 1);
    assert.deepEqual(await (await visit("other")).end(), BUSY);
  }
  await report(active, "paused", 4);
  await clock.advance(1);
  assert.equal(await (await visit("other")).end(), null);
  assert.deepEqual(await active.end(), BUSY);
});

test("strangers and silent callers neither use nor hold a share for one download", async () => {
  const { share, call, visit } = setUp({ once: true });
  call("preview");
  assert.equal((await visit("stranger", new Uint8Array(16))).isProved, false);
  assert.equal(await (await visit("first")).end(), null);
  assert.equal(share.closed, null);
});

test("a receiver that was done before the share was limited holds nothing, and cannot take the place of another", async () => {
  const { share, visit, report } = setUp();
  const early = await visit("early");
  await report(early, "done", 10);
  share.once = true;
  assert.equal(share.closed, null);
  const next = await visit("next");
  assert.equal(await next.end(), null);
  await report(early, "downloading", 1);
  assert.deepEqual([await early.end(), await next.end()], [BUSY, null]);
  await report(next, "done", 10);
  assert.equal(share.closed, "used");
});

test("two downloads that were under way both finish when the share is limited to one", async () => {
  const { share, said, visit, report } = setUp();
  const pair = [await visit("one"), await visit("two")];
  for (const receiver of pair) await report(receiver, "downloading", 1);
  share.once = true;
  await report(pair[0], "done", 10);
  assert.deepEqual([await Promise.all(pair.map(({ end }) => end())), said], [[USED, null], ["closed used"]]);
  await report(pair[1], "done", 10);
  while (share.receivers.some(({ isConnected }) => isConnected)) await settle();
  assert.deepEqual([await pair[1].end(), said], [USED, ["closed used", "ended used"]]);
});

test("a share that was used before its page was reloaded stays so, until the limit is taken away", async () => {
  const { share, visit } = setUp({ once: true, isUsed: true });
  assert.deepEqual(await (await visit("late")).end(), USED);
  share.once = false;
  assert.equal(await (await visit("late")).end(), null);
});

test("after its expiry a share admits nobody, while a running download finishes", async () => {
  const { clock, share, said, visit, report } = setUp({ expiresAt: in10Minutes() });
  const [running, idle] = [await visit("running"), await visit("idle")];
  await clock.advance(9 * MINUTE);
  await report(running, "downloading", 4);
  assert.deepEqual([share.closed, said], [null, []]);
  await clock.advance(MINUTE);
  while (share.receivers[1].isConnected) await settle();
  assert.deepEqual([share.closed, await running.end(), await idle.end(), said], ["expired", null, EXPIRED, ["closed expired"]]);
  assert.equal(share.receivers[1].state, "left");
  assert.deepEqual(await (await visit("late")).end(), EXPIRED);
  const again = await visit("running"); // before its broken connection was noticed
  assert.equal(await again.end(), null);
  await report(again, "done", 10);
  while (share.receivers[0].isConnected) await settle();
  assert.deepEqual([await again.end(), said], [EXPIRED, ["closed expired", "ended expired"]]);
});

test("a timer that is late admits nobody after the expiry", async () => {
  const { clock, share, visit } = setUp({ expiresAt: in10Minutes() });
  clock.now = () => 10 * MINUTE; // no timer has fired
  assert.deepEqual(await (await visit("late")).end(), EXPIRED);
  assert.deepEqual(share.receivers, []);
});

test("time in which the device was suspended counts, and setting its time back extends nothing", async () => {
  const now = Date.now();
  const { share, visit } = setUp({ expiresAt: new Date(now + 10 * MINUTE) });
  const device = mock.method(Date, "now", () => now + 10 * MINUTE);
  assert.deepEqual(await (await visit("late")).end(), EXPIRED);
  device.mock.mockImplementation(() => now - 60 * MINUTE);
  assert.deepEqual(await (await visit("later")).end(), EXPIRED);
  share.expiresAt = null;
  assert.equal(await (await visit("later")).end(), null);
});

test("an expiry a year ahead needs no timer that overflows, and none is left when the share is stopped or unlimited", async () => {
  const { clock, share, said } = setUp({ expiresAt: new Date(Date.now() + 365 * 24 * 60 * MINUTE) });
  const delays = mock.method(clock, "setTimeout");
  await clock.advance(3 * 60 * MINUTE);
  assert.ok(delays.mock.callCount() > 0);
  assert.ok(delays.mock.calls.every(({ arguments: [, ms] }) => ms <= 60 * MINUTE));
  assert.deepEqual([share.closed, said], [null, []]);
  share.expiresAt = null;
  assert.equal(clock.pending, 0);
  share.expiresAt = in10Minutes();
  await share.stop();
  assert.equal(clock.pending, 0);
  assert.throws(() => (share.expiresAt = new Date("never")), RangeError);
});

test("a receiver tries again while a share for one download is taken, and not after its end", async () => {
  const told = async (message) => {
    const ends = fakeChannelPair();
    const [sharer, channel] = ends.map((end) => new RtcMessageChannel(end));
    const ended = new Receiver(channel).run().catch((error) => error);
    sharer.send(message);
    const error = await ended;
    return [error.name, error.reason, isTemporary(error)];
  };
  assert.deepEqual(await told(BUSY), ["PeerError", "busy", true]);
  assert.deepEqual(await told(USED), ["TransferError", "used", false]);
  assert.deepEqual(await told(EXPIRED), ["TransferError", "expired", false]);
  assert.deepEqual(await told({ type: "end", reason: "ended", cause: "later" }), ["TransferError", "ended", false]);
});
