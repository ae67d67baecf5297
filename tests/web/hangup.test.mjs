/** Aborted calls, and pages that reload during a call: the other side is notified immediately. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { OTHER, SDP, calling, offer, setUp } from "./peer-setup.mjs";
import { settle } from "./fakes.mjs";

test("aborting a call notifies the other side, before and after the answer to its offer", async () => {
  const control = new AbortController();
  const { server, call, push } = await calling({ signal: control.signal });
  push("offer", offer("a1"));
  await settle();
  control.abort();
  await assert.rejects(call, { reason: "aborted" });
  assert.deepEqual(server.last.lastOf("hangup")[4], { peer_id: OTHER, attempt: "a1", reason: "aborted" });
  push("offer", offer("a2"));
  assert.deepEqual(server.last.lastOf("hangup")[4], { peer_id: OTHER, attempt: "a2" });
});

test("a call fails when the other side abandons its offer", async () => {
  const { server, pcs, push, call } = await calling();
  push("offer", offer("a1"));
  await settle();
  const ended = assert.rejects(call, { name: "PeerError", reason: "closed" });
  push("hangup", { peer_id: OTHER, attempt: "another" });
  push("hangup", { peer_id: OTHER, attempt: "a1" });
  await ended;
  assert.equal(pcs[0].closed, true);
  assert.equal(server.last.lastOf("hangup"), undefined, "who hung up needs not be told");
});

test("the side that finds no path says so, and the other side reports the same with its own ICE report", async () => {
  const first = await calling();
  first.push("offer", offer("a1"));
  await settle();
  const failed = assert.rejects(first.call, { reason: "no_path" });
  first.pcs[0].fail();
  await failed;
  const [, , , , hangup] = first.server.last.lastOf("hangup");
  assert.deepEqual(hangup, { peer_id: OTHER, attempt: "a1", reason: "no_path" });

  for (const isMutual of [false, true]) {
    const second = await calling();
    second.push("offer", { ...offer("a1"), calling: isMutual });
    second.push("candidate", { peer_id: OTHER, attempt: "a1", candidate: { candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host" } });
    await settle();
    const told = assert.rejects(second.call, ({ reason, iceReport }) => {
      assert.deepEqual([reason, iceReport.remote], ["no_path", ["host"]]);
      return true;
    });
    second.push("hangup", hangup);
    await told;
    assert.deepEqual(second.pcs.map(({ closed }) => closed), [true], "no further attempt is made");
    assert.equal(second.server.last.lastOf("hangup"), undefined, "who hung up needs not be told");
  }
});

test("an unknown reason, or none from an older library, means that the other side closed", async () => {
  for (const reason of [undefined, "aborted", "no such reason", { toString: null }]) {
    const { push, call } = await calling();
    push("offer", offer("a1"));
    await settle();
    const ended = assert.rejects(call, { name: "PeerError", reason: "closed" });
    push("hangup", { peer_id: OTHER, attempt: "a1", reason });
    await ended;
  }
});

test("a peer that reloads during a mutual call is answered immediately", async () => {
  const { server, pcs, push, call } = await calling();
  push("offer", { ...offer("a1"), calling: true });
  await settle();
  const answers = () => server.last.heard.filter(([, , , event]) => event === "answer").length;
  assert.equal(answers(), 1);
  push("peer_connect", { peer_id: OTHER });
  await settle();
  assert.equal(answers(), 2, "the caller is shown what is being answered");
  push("hangup", { peer_id: OTHER, attempt: "a1" });
  await settle();
  const { attempt } = server.last.lastOf("offer")[4];
  assert.deepEqual(pcs.map(({ closed }) => closed), [true, false]);
  push("answer", { peer_id: OTHER, attempt, description: { type: "answer", sdp: SDP } });
  pcs[1].open();
  assert.equal((await call).attempt, attempt);
});

test("aborting a mutual call does not affect the other side's call", async () => {
  for (const told of ["with the offer", "later"]) {
    const control = new AbortController();
    const { pcs, push, call, peer } = await calling({ signal: control.signal });
    const incoming = new Promise((resolve) => peer.on("connection", resolve));
    push("offer", { ...offer("a1"), calling: told === "with the offer" });
    if (told === "later") push("peer_connect", { peer_id: OTHER });
    await settle();
    control.abort();
    await assert.rejects(call, { reason: "aborted" });
    pcs[0].open();
    assert.equal((await incoming).attempt, "a1");
  }
});

test("an unexpected answer gets a hangup", async () => {
  const { server, push } = await setUp();
  push("answer", { peer_id: OTHER, attempt: "of the old page", description: { type: "answer", sdp: SDP } });
  assert.deepEqual(server.last.lastOf("hangup")[4], { peer_id: OTHER, attempt: "of the old page" });
});

test("a call is sent again when its peer returns as a new page", async () => {
  const { server, push } = await calling();
  push("peer_up", { peer_id: OTHER });
  assert.equal(server.last.heard.filter(([, , , event]) => event === "connect").length, 2);
});

test("if the platform cannot create a connection, the call fails, and incoming calls do not crash the program", async () => {
  const createConnection = () => {
    throw new Error("no webrtc here");
  };
  const { server, push, peer } = await setUp({ createConnection });
  push("peer_connect", { peer_id: OTHER });
  assert.equal(server.last.lastOf("hangup")[4].peer_id, OTHER);
  const call = assert.rejects(peer.connect(OTHER), { name: "PeerError", message: "no webrtc here" });
  push("offer", offer("a1"));
  await call;
});

test("a call is sent again when the broker is back, because it may be lost", async () => {
  const { server, clock, push, pcs, call } = await calling();
  server.last.drop();
  await clock.advance(250);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  assert.deepEqual(server.last.lastOf("connect")[4], { peer_id: OTHER });
  push("offer", offer("a1"));
  await settle();
  pcs[0].open();
  assert.equal((await call).isOpen, true);
});

test("after another page has taken the topic over, calls fail and open connections stay", async () => {
  const { server, peer, pcs, push, call } = await calling();
  push("offer", offer("a1"));
  await settle();
  pcs[0].open();
  const connection = await call;
  const another = assert.rejects(peer.connect("22222222-2222-8222-8222-222222222222"), { name: "PeerError", reason: "channel_closed" });
  server.last.reply("connect", "ok", {});
  const [joinRef, , topic] = server.last.lastOf("phx_join");
  server.last.say([joinRef, joinRef, topic, "phx_close", {}]);
  await another;
  assert.equal(connection.isOpen, true);
});

test("a call waits for the broker until its timeout, and is then sent once", async () => {
  const { server, clock, peer } = await setUp();
  server.last.drop();
  const call = assert.rejects(peer.connect(OTHER, { timeout: 60_000 }), { reason: "silent" });
  for (let tries = 0; tries < 4; tries++) {
    await clock.advance(10_000);
    server.last.drop();
  }
  await clock.advance(10_000);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  assert.equal(server.last.heard.filter(([, , , event]) => event === "connect").length, 1);
  server.last.reply("connect", "ok", {});
  await clock.advance(10_000);
  await call;
});
