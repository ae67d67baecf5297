/** FileShare and FileFetch over peers that come, go, break and refuse: shared files arrive, or there is an error. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { PeerError } from "../../web/lib/rtc/index.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Download, FileFetch, FileShare } from "../../web/lib/share/index.js";
import { Emitter } from "../../web/lib/util/emitter.js";
import { FakeDisk } from "./fake-disk.mjs";
import { FakeClock, fakeChannelPair, seeded, settle } from "./fakes.mjs";

const SCHEDULES = 300;
const SHARER = "aaaaaaaa-1111-8111-8111-111111111111";
const RECEIVER = "bbbbbbbb-1111-8111-8111-111111111111";
const KEY = new Uint8Array(16).fill(7);

/** As much of a Connection as both ends use. */
class FakeConnection extends Emitter {
  constructor(peerId, channel, clock, [own, other]) {
    super();
    this.peerId = peerId;
    this.opened = Promise.resolve(new RtcMessageChannel(channel, { clock }));
    this.fingerprints = () => ({ local: [own], remote: [other] });
    this.close = () => channel.cut();
    channel.addEventListener("close", () => this.emit("close", new PeerError("lost", "gone")));
  }
}

/** The receiver's peer: it reaches the sharer's, as long as that is online. */
class FakePeer extends Emitter {
  id = RECEIVER;
  isOnline = true;
  isClosed = false;
  /** Why the next calls fail, one after the other. */
  refusals = [];
  calls = 0;
  /** Ends of the connections, newest last. */
  channels = [];
  /** @param {{clock: FakeClock, sharer: Emitter, pace?: () => number}} world */
  constructor({ clock, sharer, pace }) {
    super();
    Object.assign(this, { clock, sharer, pace });
  }
  async watch() {
    return this.isOnline;
  }
  async connect() {
    this.calls += 1;
    if (this.refusals.length > 0) throw new PeerError(this.refusals.shift(), "as the test wants");
    const [a, b] = fakeChannelPair({ pace: this.pace });
    this.channels.push(a);
    this.sharer.emit("connection", new FakeConnection(RECEIVER, b, this.clock, ["B", "A"]));
    return new FakeConnection(SHARER, a, this.clock, ["A", "B"]);
  }
  cut() {
    this.channels.at(-1)?.cut();
  }
  close() {
    this.isClosed = true;
    for (const channel of this.channels) channel.cut();
  }
  comeBack() {
    this.isOnline = true;
    this.emit("up", SHARER);
  }
}

/** A share of some contents, and a fetch that has not started. */
function world(contents, { key = KEY, pace, random = () => 0 } = {}) {
  const clock = new FakeClock();
  const sharer = new Emitter();
  const share = new FileShare(sharer, KEY);
  share.catalogue.add(contents.map((bytes, at) => ({ file: new File([bytes], `${at}.bin`) })));
  const peer = new FakePeer({ clock, sharer, pace });
  const fetch = new FileFetch(peer, SHARER, key, { clock, random });
  const states = [];
  fetch.on("state", (state, error) => states.push(error ? `${state}: ${error.reason}` : state));
  return { clock, share, peer, fetch, states };
}

/** Hashes and proofs are computed in other threads, so the number of turns of this one does not bound them (ms). */
const HANG = 30_000;

/** Lets everything happen that needs no time, until it is so. */
async function until(condition) {
  for (const begun = Date.now(); !condition(); ) {
    assert.ok(Date.now() - begun < HANG, `never: ${condition}`);
    await settle();
  }
}

function take(fetch, disk = new FakeDisk()) {
  const download = new Download(fetch.entries, disk);
  fetch.add(download);
  return { download, disk };
}

const PIECE = 1024 * 1024;

test("shared files are fetched, and the sharer sees the receiver as done", async () => {
  const bytes = randomBytes(PIECE + 5);
  const { fetch, share, states } = world([bytes]);
  void fetch.start();
  await until(() => fetch.entries.length > 0);
  const { download, disk } = take(fetch);
  await download.finished;
  assert.ok(disk.bytes("0.bin").equals(bytes));
  await until(() => share.receivers[0]?.state === "done");
  assert.deepEqual([states, share.receivers.length], [["calling", "proving", "listing", "verified"], 1]);
});

test("a receiver that leaves after its download stays done", async () => {
  const { fetch, share, clock } = world([randomBytes(5)], { pace: () => 1 });
  void fetch.start();
  await until(() => fetch.entries.length > 0);
  await take(fetch).download.finished;
  const left = fetch.stopGracefully();
  while (fetch.state !== "ended") {
    await settle();
    await clock.advance(100);
  }
  await left;
  assert.equal(share.receivers[0].state, "done");
});

test("a fetch waits for an absent sharer and calls it as soon as it is online", async () => {
  const { fetch, peer, clock, states } = world(["x"]);
  peer.isOnline = false;
  void fetch.start();
  await until(() => fetch.state === "waiting");
  peer.comeBack();
  await until(() => fetch.entries.length > 0);
  assert.deepEqual([states, peer.calls, clock.now()], [["calling", "waiting: absent", "calling", "proving", "listing", "verified"], 1, 0]);
});

test("if the up event of a sharer is lost, it is found nevertheless", async () => {
  const { fetch, peer, clock } = world(["x"]);
  peer.isOnline = false;
  void fetch.start();
  await until(() => fetch.state === "waiting");
  peer.isOnline = true;
  await clock.advance(29_999);
  assert.equal(peer.calls, 0);
  await clock.advance(1);
  await until(() => fetch.entries.length > 0);
});

test("failed calls are retried with increasing delays, at once by retry(), and with a short delay after a success", async () => {
  const { fetch, peer, clock } = world(["x"]);
  peer.refusals = ["silent", "no_path", "busy", "silent"];
  void fetch.start();
  for (const [calls, wait] of [[1, 500], [2, 1_000], [3, 2_000]]) {
    await until(() => fetch.state === "waiting");
    await clock.advance(wait - 1);
    assert.equal(peer.calls, calls);
    await clock.advance(1);
    await until(() => peer.calls === calls + 1);
  }
  await until(() => fetch.state === "waiting");
  fetch.retry();
  await until(() => fetch.state === "verified");
  peer.cut();
  await until(() => fetch.state === "waiting");
  await clock.advance(500);
  await until(() => fetch.state === "verified");
});

test("a download continues over the next connection, and the sharer sees one receiver", async () => {
  const bytes = randomBytes(4 * PIECE);
  const { fetch, share, peer, clock } = world([bytes]);
  void fetch.start();
  await until(() => fetch.entries.length > 0);
  const { download, disk } = take(fetch);
  await until(() => disk.written >= PIECE);
  peer.cut();
  await until(() => fetch.state === "waiting");
  await until(() => download.progress.state === "waiting");
  await clock.advance(1_000);
  await download.finished;
  assert.ok(disk.bytes("0.bin").equals(bytes));
  assert.equal(disk.written, bytes.length, "a piece was stored twice");
  assert.equal(share.receivers.length, 1);
});

test("a wrong key ends the fetch: no list arrives, and the sharer is not called again", async () => {
  const { fetch, peer, clock, states } = world(["x"], { key: new Uint8Array(16) });
  void fetch.start();
  await until(() => fetch.state === "ended");
  await clock.advance(600_000);
  assert.deepEqual([states.at(-1), fetch.entries, peer.calls, peer.isClosed], ["ended: wrong_key", [], 1, true]);
});

test("a call that fails for good ends the fetch", async () => {
  for (const reason of ["too_big", "channel_closed", "failed", "negotiation", "unproven"]) {
    const { fetch, peer, clock, states } = world(["x"]);
    peer.refusals.push(reason);
    void fetch.start();
    await until(() => fetch.state === "ended");
    await clock.advance(600_000);
    assert.deepEqual([states.at(-1), peer.calls], [`ended: ${reason}`, 1]);
  }
});

test("a sharer that ends a receiver's transfer ends the fetch and its downloads", async () => {
  const { fetch, share, clock, peer } = world([randomBytes(4 * PIECE)]);
  void fetch.start();
  await until(() => fetch.entries.length > 0);
  const { download, disk } = take(fetch);
  await until(() => disk.written >= PIECE);
  share.receivers[0].cancel();
  await assert.rejects(download.finished, { reason: "cancelled" });
  await until(() => fetch.state === "ended");
  await clock.advance(600_000);
  assert.equal(peer.calls, 1);
});

for (const when of ["waiting", "verified"]) {
  test(`a fetch that is stopped while ${when} cancels its downloads, emits nothing more and leaves no timer`, async () => {
    const { fetch, peer, clock, states } = world([randomBytes(4 * PIECE)]);
    void fetch.start();
    await until(() => fetch.entries.length > 0);
    const { download } = take(fetch);
    if (when === "waiting") peer.cut();
    await until(() => fetch.state === when);
    fetch.stop();
    await assert.rejects(download.finished, { reason: "cancelled" });
    const late = take(fetch).download;
    await assert.rejects(late.finished, { reason: "cancelled" });
    await settle();
    assert.deepEqual([states.at(-1), peer.isClosed, clock.pending], ["ended: closed", true, 0]);
  });
}

test("any schedule of loss, absence, retries and stops gives equal bytes or an explicit error", async () => {
  const pool = randomBytes(3 * PIECE);
  for (let seed = 0; seed < SCHEDULES; seed++) {
    const random = seeded(seed);
    const upTo = (n) => Math.floor(random() * n);
    const contents = Array.from({ length: 1 + upTo(3) }, () => pool.subarray(0, upTo(random() < 0.2 ? 2.5 * PIECE : 2_000)));
    const { fetch, peer, clock } = world(contents, { pace: () => 1 + upTo(9), random });
    const disk = new FakeDisk();
    let download = /** @type {Download | null} */ (null);
    let outcome = /** @type {any} */ (null);
    void fetch.start();
    const begun = Date.now();
    for (let step = 0; !outcome; step++) {
      assert.ok(Date.now() - begun < HANG, `seed ${seed} never ends in state ${fetch.state}`);
      // Trouble grows rarer, else there would be no end.
      const trouble = 0.05 / (1 + step / 100);
      if (random() < trouble) peer.cut();
      if (random() < trouble) peer.isOnline = false;
      if (!peer.isOnline && random() < 0.2) peer.comeBack();
      if (random() < trouble / 50) fetch.stop();
      if (random() < trouble) fetch.retry();
      // Hashes take real time: were it to fly, every proof would come too late.
      if (fetch.state === "waiting") await clock.advance(upTo(5_000));
      if (!download && fetch.entries.length > 0) {
        download = take(fetch, disk).download;
        download.finished.then((value) => (outcome = value), (error) => (outcome = error));
      }
      if (!download && fetch.state === "ended") outcome = new Error("stopped before anything was taken");
      await settle();
    }
    if (outcome instanceof Error) {
      assert.equal(fetch.state, "ended", `seed ${seed}: ${outcome.stack}`);
      continue;
    }
    for (const [at, bytes] of contents.entries()) assert.ok(disk.bytes(`${at}.bin`).equals(bytes), `seed ${seed}: ${at}.bin differs`);
    fetch.stop();
    await settle();
    assert.equal(clock.pending, 0, `seed ${seed} leaves a timer`);
  }
});

test("a sender that has stopped sharing is not waited for, and a download fails with what it has", async () => {
  const { fetch, share, states } = world([randomBytes(8 * PIECE)], { pace: () => 1 });
  void fetch.start();
  await until(() => fetch.entries.length > 0);
  const { download, disk } = take(fetch);
  const failed = assert.rejects(download.finished, { name: "TransferError", reason: "ended" });
  await until(() => disk.written >= PIECE);
  await share.stop();
  await until(() => fetch.state === "ended");
  await failed;
  assert.equal(states.at(-1), "ended: ended");
  assert.ok(disk.bytes("0.bin").length >= PIECE, "what is stored was deleted");
  assert.equal(share.receivers[0].state, "stopped");
});
