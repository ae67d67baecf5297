/** Channel: join, push and leave. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { comeBack, joined, setUp } from "./channel-setup.mjs";
import { settle } from "./fakes.mjs";

test("join connects the socket and resolves with the server's reply", async () => {
  const { server, channel, answer } = await joined({ name: "x" });
  assert.deepEqual(answer, { hello: 1 });
  const [joinRef, ref, topic, , payload] = server.last.lastOf("phx_join");
  assert.equal(joinRef, ref);
  assert.deepEqual([topic, payload], ["room:a", { name: "x" }]);
  assert.equal(channel.state, "joined");
  assert.equal(channel.join(), channel.join());
});

test("a refused join rejects with the reason, closes the channel, and may be retried", async () => {
  const { server, channel } = setUp();
  const first = channel.join();
  server.last.accept();
  server.last.reply("phx_join", "error", { reason: "taken", by: "x" });
  await assert.rejects(first, { name: "RefusedError", reason: "taken", response: { reason: "taken", by: "x" } });
  assert.equal(channel.state, "closed");
  const second = channel.join();
  server.last.reply("phx_join", "ok", {});
  assert.deepEqual(await second, {});
});

test("a join without a reply times out, and a leave is sent to the server", async () => {
  const { server, clock, channel } = setUp();
  const join = assert.rejects(channel.join(), { name: "TimeoutError", message: /10000 ms/ });
  server.last.accept();
  await clock.advance(10_000);
  await join;
  assert.equal(channel.state, "closed");
  assert.ok(server.last.lastOf("phx_leave"));
});

test("a join times out when the server is not reachable", async () => {
  const { clock, channel } = setUp();
  const join = assert.rejects(channel.join({ timeout: 3_000 }), { name: "TimeoutError" });
  await clock.advance(3_000);
  await join;
});

test("a second open channel for the same topic is an error", async () => {
  const { socket } = await joined();
  assert.throws(() => socket.channel("room:a").join(), /already has a channel for room:a/);
});

test("push resolves with the response or rejects with the server's reason", async () => {
  const { server, channel } = await joined();
  const good = channel.push("say", { text: "hi" });
  const [joinRef] = server.last.lastOf("phx_join");
  assert.deepEqual([server.last.lastOf("say")[0], server.last.lastOf("say")[4]], [joinRef, { text: "hi" }]);
  server.last.reply("say", "ok", { n: 1 });
  assert.deepEqual(await good, { n: 1 });
  const bad = channel.push("say");
  server.last.reply("say", "error", { reason: "peer_not_found" });
  await assert.rejects(bad, { name: "RefusedError", reason: "peer_not_found" });
});

test("a push without a reply times out, and a late reply is ignored", async () => {
  const { server, clock, channel } = await joined();
  const push = assert.rejects(channel.push("say", {}, { timeout: 500 }), { name: "TimeoutError" });
  await clock.advance(500);
  await push;
  server.last.reply("say", "ok", {});
  assert.equal(channel.state, "joined");
});

test("a push before the join is rejected immediately", async () => {
  const { channel } = setUp();
  await assert.rejects(channel.push("say"), { name: "ClosedError" });
});

test("events reach their listeners until these are removed", async () => {
  const { server, channel } = await joined();
  const heard = [];
  const off = channel.on("said", (payload) => heard.push(payload));
  const [joinRef] = server.last.lastOf("phx_join");
  server.last.say([null, null, "room:a", "said", { n: 1 }]);
  server.last.say([joinRef, null, "room:a", "said", { n: 2 }]);
  server.last.say([null, null, "room:b", "said", { n: 0 }]);
  off();
  off();
  server.last.say([null, null, "room:a", "said", { n: 3 }]);
  assert.deepEqual(heard, [{ n: 1 }, { n: 2 }]);
});

test("binary payloads are sent and received as bytes", async () => {
  const { server, channel } = await joined();
  channel.push("blob", new Uint8Array([1, 2]).buffer).catch(() => {});
  assert.ok(server.last.frames.at(-1) instanceof ArrayBuffer);
  let heard;
  channel.on("blob", (payload) => (heard = payload));
  server.last.say(new Uint8Array([2, 6, 4, ...new TextEncoder().encode("room:ablob"), 5]).buffer);
  assert.deepEqual(heard, new Uint8Array([5]).buffer);
});

test("the buffer is bounded, and a push that has timed out is not sent", async () => {
  const all = await joined();
  const { server, clock, channel } = all;
  server.last.drop();
  const waiting = [1, 2, 3].map(() => assert.rejects(channel.push("say", {}, { timeout: 100 }), { name: "TimeoutError" }));
  await assert.rejects(channel.push("say"), { name: "OverflowError", message: /3 unsent pushes/ });
  await clock.advance(250);
  await Promise.all(waiting);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  assert.equal(server.last.lastOf("say"), undefined);
});

test("a push larger than the server's limit is refused as too big, and the connection stays", async () => {
  const { server, socket, channel } = await joined();
  socket.limitMessages(1_000);
  await assert.rejects(channel.push("big", { text: "\u00e9".repeat(500) }), { name: "TooBigError", reason: "too_big" });
  assert.deepEqual([socket.state, server.last.lastOf("big")], ["open", undefined]);
  const pushed = channel.push("small");
  server.last.reply("small", "ok", {});
  await pushed;
});

test("a message for which the server closes the connection is not sent again", async () => {
  const all = await joined();
  const { server, clock, channel } = all;
  const push = () => channel.push("big", { text: "x".repeat(5_000) });
  const lost = assert.rejects(push(), { reason: "disconnected" });
  server.last.drop(1009);
  await lost;
  await clock.advance(250);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  await assert.rejects(push(), { name: "TooBigError" });
  assert.equal(server.connections.length, 2);
});

test("phx_close closes the channel: it does not rejoin, and pending pushes are rejected", async () => {
  const all = await joined();
  const { server, channel } = all;
  const push = assert.rejects(channel.push("say"), { name: "ClosedError" });
  const [joinRef] = server.last.lastOf("phx_join");
  server.last.say([joinRef, joinRef, "room:a", "phx_close", {}]);
  await push;
  assert.equal(channel.state, "closed");
  await comeBack(all);
  assert.equal(server.last.heard.length, 0);
});

test("leave is sent to the server, and no event arrives afterwards", async () => {
  const { server, channel } = await joined();
  const heard = [];
  channel.on("said", (payload) => heard.push(payload));
  const push = assert.rejects(channel.push("say"), { name: "ClosedError", message: /was left/ });
  channel.leave();
  await push;
  assert.equal(server.last.lastOf("phx_leave")[0], server.last.lastOf("phx_join")[0]);
  server.last.say([null, null, "room:a", "said", {}]);
  assert.deepEqual(heard, []);
});

test("leaving during the join rejects the join", async () => {
  const { server, channel } = setUp();
  const join = assert.rejects(channel.join(), { name: "ClosedError" });
  server.last.accept();
  channel.leave();
  await join;
});

test("a listener that throws stops neither the others nor the channel", async (t) => {
  const { server, channel } = await joined();
  const heard = [];
  /** @type {Array<() => void>} */
  const later = [];
  t.mock.method(globalThis, "queueMicrotask", (task) => later.push(task));
  channel.on("said", () => {
    throw new Error("listener's own fault");
  });
  channel.on("said", (payload) => heard.push(payload));
  server.last.say([null, null, "room:a", "said", 1]);
  assert.deepEqual(heard, [1]);
  assert.throws(later[0], /listener's own fault/);
});

test("a join can be aborted: a leave is sent, and it may be retried", async () => {
  const { server, channel, clock } = setUp();
  const control = new AbortController();
  const join = assert.rejects(channel.join({ signal: control.signal }), { name: "AbortedError", reason: "aborted" });
  server.last.accept();
  control.abort();
  await join;
  assert.ok(server.last.lastOf("phx_leave"));
  assert.equal(channel.state, "closed");
  await assert.rejects(channel.join({ signal: control.signal }), { name: "AbortedError" });
  const second = channel.join();
  server.last.reply("phx_join", "ok", {});
  assert.deepEqual(await second, {});
  assert.equal(clock.pending, 1, "only the heartbeat's timer is left");
});

test("aborting one of several waits for a join does not affect the others", async () => {
  const { server, channel } = setUp();
  const control = new AbortController();
  const first = channel.join();
  const second = assert.rejects(channel.join({ signal: control.signal }), { name: "AbortedError" });
  server.last.accept();
  control.abort();
  await second;
  server.last.reply("phx_join", "ok", { hello: 1 });
  assert.deepEqual(await first, { hello: 1 });
});

test("a push that is aborted in the buffer is never sent", async () => {
  const { server, channel, clock } = await joined();
  server.last.drop();
  const control = new AbortController();
  const push = assert.rejects(channel.push("secret", {}, { signal: control.signal }), { name: "AbortedError" });
  const other = channel.push("other");
  control.abort();
  await push;
  await assert.rejects(channel.push("late", {}, { signal: control.signal }), { name: "AbortedError" });
  await clock.advance(250);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  server.last.reply("other", "ok", {});
  await other;
  assert.equal(server.last.lastOf("secret"), undefined);
  assert.equal(server.last.lastOf("late"), undefined);
});

test("leave resolves when the server replies or the connection closes", async () => {
  for (const end of ["answer", "loss"]) {
    const { server, channel, clock } = await joined();
    let left = false;
    const leaving = channel.leave().then(() => (left = true));
    await settle();
    assert.equal(left, false);
    if (end === "answer") server.last.reply("phx_leave", "ok", {});
    else server.last.drop();
    await leaving;
    assert.equal(clock.pending, 1, "only the socket's timer is left");
    await channel.leave();
  }
});

test("waiting for a leave ends by timeout or signal, and the channel is left nevertheless", async () => {
  const { clock, channel, socket } = await joined();
  const timedOut = assert.rejects(channel.leave({ timeout: 100 }), { name: "TimeoutError" });
  await clock.advance(100);
  await timedOut;
  const again = socket.channel("room:a");
  void again.join();
  await assert.rejects(again.leave({ signal: AbortSignal.abort() }), { name: "AbortedError" });
  assert.equal(again.state, "closed");
});

test("a push that cannot be encoded fails alone", async () => {
  const { server, clock, channel } = await joined();
  const circular = {};
  circular.self = circular;
  await assert.rejects(channel.push("now", circular), TypeError);
  server.last.drop();
  const kept = [channel.push("one"), assert.rejects(channel.push("two", circular), TypeError), channel.push("three")];
  await clock.advance(250);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  for (const event of ["one", "three"]) server.last.reply(event, "ok", {});
  await Promise.all(kept);
  assert.equal(channel.state, "joined");
});

test("join params that throw close the channel with their error, and other channels stay open", async () => {
  let broken = false;
  const all = await joined(() => {
    if (broken) throw new Error("no token");
    return {};
  });
  const other = all.socket.channel("room:b");
  const join = other.join();
  all.server.last.reply("phx_join", "ok", {});
  await join;
  let detail;
  all.channel.onState((_, error) => (detail = error));
  broken = true;
  await comeBack(all);
  all.server.last.reply("phx_join", "ok", {});
  assert.deepEqual([all.channel.state, detail.message, other.state], ["closed", "no token", "joined"]);
});
