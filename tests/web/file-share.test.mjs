/** FileShare: the rate limit of proofs, and the list of receivers. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { FileShare, prove } from "../../web/lib/share/index.js";
import { Emitter } from "../../web/lib/util/emitter.js";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";

const key = new Uint8Array(randomBytes(16));
const passwordKey = new Uint8Array(randomBytes(16));
const wrong = new Uint8Array(randomBytes(16));
const TRIES = 10;
const REFILL = 10_000;

/** A share, and visitors that call it. */
function setUp(options = {}) {
  const clock = new FakeClock();
  const peer = new Emitter();
  const share = new FileShare(peer, key, { passwordKey, clock, ...options });
  let lastId = 0;
  const call = (peerId = `visitor ${++lastId}`) => {
    const ends = fakeChannelPair();
    const [theirs, channel] = ends.map((end) => new RtcMessageChannel(end, { clock }));
    const connection = { peerId, opened: Promise.resolve(theirs), fingerprints: () => ({ local: "A", remote: "B" }), isClosed: false };
    peer.emit("connection", Object.assign(connection, { close: () => (connection.isClosed = true) }));
    return { ends, channel, connection };
  };
  const visit = async (peerId, keys = {}) => {
    const visitor = call(peerId);
    const tried = prove(visitor.channel, { key, passwordKey, ...keys, role: "receiver", fingerprints: { local: "B", remote: "A" } });
    const reason = await tried.then(() => "verified", (error) => error.reason);
    await settle();
    return { ...visitor, reason };
  };
  const guess = async (times) => {
    for (let n = 0; n < times; n++) assert.equal((await visit(undefined, { passwordKey: wrong })).reason, "wrong_password");
  };
  const visitWithoutLink = async (times) => {
    for (let n = 0; n < times; n++) assert.equal((await visit(undefined, { key: wrong })).reason, "wrong_key");
  };
  return { clock, share, call, visit, guess, visitWithoutLink };
}

test("after ten wrong passwords strangers are refused until the limit refills", async () => {
  const { clock, visit, guess } = setUp();
  await guess(TRIES);
  const { reason, ends } = await visit();
  assert.equal(reason, "too_many_tries");
  assert.deepEqual(JSON.parse(ends[1].received.at(-1)), { type: "refused", reason: "too_many_tries" });
  await clock.advance(REFILL);
  assert.equal((await visit()).reason, "verified");
  await guess(1);
  assert.equal((await visit()).reason, "too_many_tries");
});

test("after an hour without tries the burst is ten tries, not more", async () => {
  const { clock, visit, guess } = setUp();
  await guess(TRIES);
  await clock.advance(3_600_000);
  await guess(TRIES);
  assert.equal((await visit()).reason, "too_many_tries");
});

test("correct proofs use up no tries", async () => {
  const { visit } = setUp();
  for (let n = 0; n < 3 * TRIES; n++) assert.equal((await visit()).reason, "verified");
});

test("a peer that has proved before has one try beyond the limit", async () => {
  const { visit, guess } = setUp();
  await visit("friend");
  await guess(TRIES);
  assert.equal((await visit("friend")).reason, "verified");
  assert.equal((await visit("friend", { passwordKey: wrong })).reason, "wrong_password");
  assert.equal((await visit("friend")).reason, "too_many_tries");
});

test("strangers who know only the id use up no tries, whatever they send", async () => {
  const { call, visit, guess, visitWithoutLink } = setUp();
  await visitWithoutLink(3 * TRIES);
  for (let n = 0; n < 3 * TRIES; n++) call().ends[1].cut();
  await guess(TRIES - 1);
  assert.equal((await visit()).reason, "verified");
});

test("strangers who have the link and do not answer use up no tries", async () => {
  const { call, visit } = setUp();
  for (let n = 0; n < 3 * TRIES; n++) {
    const { ends, channel } = call();
    ends[0].addEventListener("message", ({ data }) => JSON.parse(data).type === "point" && ends[0].cut());
    await assert.rejects(prove(channel, { key, passwordKey: wrong, role: "receiver", fingerprints: { local: "B", remote: "A" } }));
  }
  assert.equal((await visit()).reason, "verified");
});

test("silent strangers keep nobody out, and time out", async () => {
  const { clock, share, call, visit } = setUp();
  const silent = Array.from({ length: 100 }, () => call());
  await settle();
  assert.equal((await visit()).reason, "verified");
  await clock.advance(5_000);
  assert.equal(silent.filter(({ connection }) => connection.isClosed).length, 100 - 32 + 1);
  await clock.advance(10_000);
  assert.ok(silent.every(({ connection }) => connection.isClosed));
  assert.equal(share.receivers.length, 1);
});

test("refused peers are counted and not listed", async () => {
  const { share, guess, visitWithoutLink } = setUp();
  const counts = [];
  share.on("refused", ({ wrongKeys, wrongPasswords }) => counts.push([wrongKeys, wrongPasswords]));
  share.on("receiver", () => assert.fail("a stranger was listed"));
  await guess(2);
  await visitWithoutLink(1);
  assert.deepEqual([counts, share.receivers], [[[0, 1], [0, 2], [1, 2]], []]);
});

test("a share without a password serves everybody who has the link, and limits nobody", async () => {
  const { share, visit, guess } = setUp();
  await guess(TRIES);
  share.passwordKey = null;
  assert.equal((await visit(undefined, { passwordKey: null })).reason, "verified");
  assert.equal((await visit()).reason, "wrong_password");
});

test("a hundred receivers are remembered: the oldest that left unfinished is dropped first, connected ones stay", async () => {
  const { share, visit } = setUp();
  const forgotten = [];
  share.on("receiver", (receiver) => receiver.on("forgotten", () => forgotten.push(receiver.peerId)));
  await visit("stays");
  for (let n = 0; n < 100; n++) {
    const { channel, ends } = await visit(`guest ${n}`);
    if (n !== 50) channel.send({ type: "progress", state: "done", written: 5, total: 5, failed: 0 });
    while (n !== 50 && share.receivers.at(-1).state !== "done") await settle();
    ends[1].cut();
    await settle();
  }
  await visit("last");
  assert.equal(share.receivers.length, 100);
  assert.deepEqual(forgotten, ["guest 50", "guest 0"]);
  assert.deepEqual([share.receivers[0].peerId, share.receivers.at(-1).peerId], ["stays", "last"]);
});

test("a receiver that is done is still done when it reconnects", async () => {
  const { share, visit } = setUp();
  const { channel, ends } = await visit("friend");
  channel.send({ type: "progress", state: "done", written: 5, total: 5, failed: 0 });
  while (share.receivers[0].state !== "done") await settle();
  ends[1].cut();
  await visit("friend");
  assert.deepEqual([share.receivers.length, share.receivers[0].state], [1, "done"]);
});

const report = (state, written) => ({ type: "progress", state, written, total: 10, failed: 0 });

/** The messages that arrived at this end after the list. */
const afterList = ({ received }) => received.map((text) => JSON.parse(text)).filter(({ type }) => type === "end");

test("a receiver that this side stops has not left by itself, and may come back", async () => {
  const { share, visit } = setUp();
  const { channel, ends } = await visit("friend");
  channel.send(report("downloading", 3));
  while (share.receivers[0].state !== "downloading") await settle();
  share.receivers[0].cancel();
  while (share.receivers[0].isConnected) await settle();
  assert.deepEqual([share.receivers[0].state, afterList(ends[1])], ["stopped", [{ type: "end", reason: "cancelled" }]]);
  await visit("friend");
  assert.deepEqual([share.receivers[0].state, share.receivers[0].written], ["reconnected", 3]);
});

test("all receivers are told that the share is over before it closes, and one that is done stays so", async () => {
  const { share, visit } = setUp();
  const visitors = [await visit("one"), await visit("two")];
  visitors[1].channel.send({ ...report("done", 10) });
  while (share.receivers[1].state !== "done") await settle();
  await share.stop();
  for (const { ends } of visitors) assert.deepEqual(afterList(ends[1]), [{ type: "end", reason: "ended" }]);
  while (share.receivers.some(({ isConnected }) => isConnected)) await settle();
  assert.deepEqual(share.receivers.map(({ state }) => state), ["stopped", "done"]);
});

test("the end of a share waits two seconds for a receiver that reads nothing", async () => {
  const { clock, share, visit } = setUp();
  const { ends } = await visit("silent");
  ends[0].close = () => {};
  let isOver = false;
  const over = share.stop().then(() => (isOver = true));
  await clock.advance(1_999);
  assert.equal(isOver, false);
  await clock.advance(1);
  await over;
});

test("the end of a share waits for a receiver on a slow network, as long as it takes some of what was sent", async () => {
  const { clock, share, visit } = setUp();
  const { ends } = await visit("slow");
  ends[0].close = () => {};
  ends[0].bufferedAmount = 3_000;
  let isOver = false;
  const over = share.stop().then(() => (isOver = true));
  for (let left = 2_000; left > 0; left -= 1_000) {
    ends[0].bufferedAmount = left;
    await clock.advance(2_000);
    assert.equal(isOver, false, `${left} bytes left`);
  }
  ends[0].bufferedAmount = 0;
  await clock.advance(2_000);
  await over;
});

test("the end of a share takes half a minute at most", async () => {
  const { clock, share, visit } = setUp();
  const { ends } = await visit("slow");
  ends[0].close = () => {};
  ends[0].bufferedAmount = 1_000_000;
  let isOver = false;
  const over = share.stop().then(() => (isOver = true));
  for (let waited = 0; waited < 30_000; waited += 2_000) {
    assert.equal(isOver, false);
    ends[0].bufferedAmount -= 1;
    await clock.advance(2_000);
  }
  await over;
});

test("a share that is restored after a reload knows how far its receivers were", async () => {
  const earlier = [
    { peerId: "half", state: "downloading", written: 4, total: 10, failed: 0 },
    { peerId: "done", state: "done", written: 10, total: 10, failed: 1 },
  ];
  const { share, visit } = setUp({ earlier });
  for (const id of ["done", "new", "half"]) await visit(id);
  assert.deepEqual(share.receivers.map(({ state, written, failed }) => [state, written, failed]), [["done", 10, 1], ["verified", 0, 0], ["reconnected", 4, 0]]);
});
