/** Glare: two peers that act at the same time, in every order that the broker may deliver. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Socket } from "../../web/lib/index.js";
import { Peer } from "../../web/lib/rtc/index.js";
import { Negotiation } from "../../web/lib/rtc/negotiation.js";
import { FakeClock, seeded, settle } from "./fakes.mjs";
import { FakeBroker, FakeNet } from "./fake-broker.mjs";

const IDS = ["11111111-1111-8111-8111-111111111111", "22222222-2222-8222-8222-222222222222"];
const SCHEDULES = 1_000;

async function setUp(seed) {
  const random = seeded(seed);
  const broker = new FakeBroker(random);
  const clock = new FakeClock();
  const pages = [];
  const open = (side) => {
    const net = new FakeNet(pcs);
    const { Transport, vanish } = broker.page();
    pages[side] = { made: net.made, vanish };
    const socket = new Socket("ws://example.test/socket", { transport: Transport, clock, network: new EventTarget(), fetch: null });
    return new Peer(socket, { peerId: IDS[side], secret: "s" }, { createConnection: net.create });
  };
  const pcs = new Map();
  const peers = [open(0), open(1)];
  const joins = peers.map((peer) => peer.join());
  await broker.run();
  await Promise.all(joins);
  return { random, broker, clock, peers, pages, open };
}

/** Delivers a random part of the messages in flight. */
async function some(random) {
  for (let turns = Math.floor(random() * 12); turns > 0; turns--) await settle();
}

test("two peers that call each other at any time get the same connection", async () => {
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const { random, broker, clock, peers } = await setUp(seed);
    const incoming = [[], []];
    peers.forEach((peer, side) => peer.on("connection", (connection) => incoming[side].push(connection)));
    const first = Math.floor(random() * 2);
    const calls = [];
    calls[first] = peers[first].connect(IDS[1 - first]);
    const running = broker.run();
    await some(random);
    // A peer that calls although it has a connection gets a newer one.
    const anew = incoming[1 - first].length;
    calls[1 - first] = peers[1 - first].connect(IDS[first]);
    const settled = Promise.all(calls);
    await running;
    await broker.run();
    await clock.advance(30_000);
    const [a, b] = await settled.catch((error) => assert.fail(`seed ${seed}: ${error.message}`));
    const told = [anew ? 1 : 0, anew ? 1 : 0];
    assert.deepEqual(incoming.map(({ length }) => length), told, `seed ${seed}: a connection is given once`);
    if (!anew) assert.equal(a.attempt, b.attempt, `seed ${seed}`);
    const newest = anew ? [calls[1 - first], incoming[first][0]] : calls;
    for (const connection of await Promise.all(newest)) assert.ok(connection?.isOpen, `seed ${seed} ${anew} ${connection?.attempt} ${a.attempt} ${b.attempt} ${incoming[0][0]?.attempt} ${incoming[1][0]?.attempt} ${a.isOpen} ${b.isOpen} first ${first}`);
    await clock.advance(60_000);
    peers.forEach((peer) => peer.close());
  }
});

test("two peers that renegotiate at any time both succeed, over the broker", async () => {
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const { random, broker, peers } = await setUp(seed);
    const other = new Promise((resolve) => peers[1].on("connection", resolve));
    const call = peers[0].connect(IDS[1]);
    await broker.run();
    const connections = [await call, await other];
    const before = connections.map(({ pc }) => pc.rounds);
    let running = Promise.resolve();
    for (const { pc } of random() < 0.5 ? connections : connections.toReversed()) {
      pc.need();
      running = broker.run();
      await some(random);
    }
    await running;
    await broker.run();
    for (const [side, { pc, isOpen }] of connections.entries()) {
      assert.equal(pc.signalingState, "stable", `seed ${seed}`);
      assert.ok(pc.rounds >= before[side] + 2, `seed ${seed}: side ${side} had ${pc.rounds} rounds`);
      assert.ok(isOpen, `seed ${seed}`);
    }
    peers.forEach((peer) => peer.close());
  }
});

test("a negotiation that the platform requests during the handling of an offer is part of the answer, without another offer", async () => {
  const pcs = new Map();
  const [caller, callee] = [new FakeNet(pcs).create({}), new FakeNet(pcs).create({})];
  await caller.setLocalDescription();
  const said = [];
  const send = async (event) => void said.push(event);
  const negotiation = new Negotiation({ pc: callee, isPolite: true, send, onFailure: assert.fail, onUndelivered: assert.fail });
  negotiation.handleSignal("offer", { description: caller.localDescription });
  await Promise.resolve();
  callee.dispatchEvent(new Event("negotiationneeded"));
  for (let turn = 0; turn < 8; turn++) await settle();
  assert.deepEqual(said, ["answer"]);
});

test("calls, aborts and reloads at any time: no side waits for a timeout, and no unfinished connection remains", async () => {
  const outcomes = { open: 0, aborted: 0, closed: 0, absent: 0 };
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const { random, broker, peers, pages, open } = await setUp(seed);
    const watches = peers.map((peer, side) => peer.watch(IDS[1 - side]));
    await broker.run();
    await Promise.all(watches);
    /** @type {Array<{side: number, peer: Peer, control: AbortController, outcome: any}>} */
    const calls = [];
    for (let step = 0; step < 8; step++) {
      const side = Math.floor(random() * 2);
      const choice = random();
      if (choice < 0.6) {
        const control = new AbortController();
        const call = { side, peer: peers[side], control, outcome: null };
        calls.push(call);
        peers[side].connect(IDS[1 - side], { signal: control.signal }).then(
          () => (call.outcome = "open"),
          (error) => (call.outcome = error.reason),
        );
      } else if (choice < 0.8) {
        calls.at(-1)?.control.abort();
      } else if (choice < 0.9) {
        pages[side].vanish();
        for (const pc of pages[side].made) pc.close();
        if (random() < 0.5) broker.forget(IDS[side]);
        peers[side] = open(side);
        void peers[side].join();
        void peers[side].watch(IDS[1 - side]).catch(() => {});
      }
      await broker.run(Math.floor(random() * 10));
    }
    await broker.run();
    for (const { side, peer, outcome } of calls) {
      if (peer !== peers[side]) continue;
      assert.ok(outcome in outcomes, `seed ${seed}: a call of ${side} ended with ${outcome}`);
      outcomes[outcome] += 1;
    }
    for (const [side, { made }] of pages.entries()) {
      const left = made.filter(({ closed, isOpen }) => !closed && !isOpen);
      assert.equal(left.length, 0, `seed ${seed}: side ${side} keeps ${left.length} half-made connections`);
    }
    peers.forEach((peer) => peer.close());
  }
  assert.ok(Object.values(outcomes).every((count) => count > 20), JSON.stringify(outcomes));
});
