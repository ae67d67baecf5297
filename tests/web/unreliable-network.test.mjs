/** Socket and Channel on any schedule of loss, silence, reorder, refusal and abort: a correct result or an error, never a hang. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { HandclaspError, Socket } from "../../web/lib/index.js";
import { FakeClock, seeded, settle } from "./fakes.mjs";
import { UnreliableServer } from "./unreliable-server.mjs";

const SCHEDULES = 3_000;
const STEPS = 40;
/** Longer than any timeout, wait and backoff together. */
const LONG = 120_000;

function setUp(seed) {
  const random = seeded(seed);
  const clock = new FakeClock();
  const server = new UnreliableServer(random);
  const network = new EventTarget();
  const socket = new Socket("ws://example.test/socket", { transport: server.Transport, fetch: null, clock, random, network, bufferLimit: 4 });
  const channels = ["room:a", "room:b", "room:c"].map((topic) => socket.channel(topic));
  return { random, clock, server, network, socket, channels };
}

test("any schedule: every promise settles, every resolved push arrived once, and all channels recover", async () => {
  const seen = new Set();
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const { random, clock, server, network, socket, channels } = setUp(seed);
    const pick = (list) => list[Math.floor(random() * list.length)];
    /** @type {Array<{what: string, topic?: string, n?: number, outcome: string | null, response?: any}>} */
    const asked = [];
    const controls = [];
    const follow = (what, promise, more = {}) => {
      const entry = { what, outcome: null, ...more };
      asked.push(entry);
      promise.then(
        (response) => Object.assign(entry, { outcome: "ok", response }),
        (error) => {
          assert.ok(error instanceof HandclaspError, `seed ${seed}: ${what} ended with ${error.stack}`);
          entry.outcome = error.reason;
        },
      );
      return entry;
    };
    const signal = () => {
      if (random() < 0.7) return {};
      controls.push(new AbortController());
      return { signal: controls.at(-1).signal };
    };
    const heard = channels.map((channel) => {
      const numbers = [];
      channel.on("said", ({ n }) => numbers.push(n));
      return numbers;
    });
    const acts = {
      join: () => follow("join", pick(channels).join(signal())),
      push() {
        const channel = pick(channels);
        const before = channel.state;
        const entry = follow("push", channel.push("say", { n: asked.length }, signal()), { topic: channel.topic, n: asked.length });
        if (before === "closed") entry.what = "push while closed";
      },
      leave: () => follow("leave", pick(channels).leave(signal())),
      connect: () => follow("connect", socket.connect(signal())),
      disconnect: () => random() < 0.3 && socket.disconnect(),
      abort: () => pick(controls)?.abort(),
      network: () => network.dispatchEvent(new Event("online")),
      mischief: () => server.mischief(),
      broadcast: () => server.broadcast(),
      wait: () => clock.advance(random() * 20_000),
    };
    const often = ["join", "join", "push", "push", "push", "push", "abort", "broadcast", "mischief", "wait", ...Object.keys(acts)];
    for (let step = 0; step < STEPS; step++) {
      await acts[pick(often)]();
      server.deliver(Math.floor(random() * 8));
      await settle();
    }
    // From now on the network is good, and everything has to come to its end.
    server.heal();
    void socket.connect();
    for (let waited = 0; waited < LONG; waited += 5_000) {
      server.deliver(100);
      await clock.advance(5_000);
    }
    check(seed, { asked, received: server.received, heard });
    for (const channel of channels) assert.notEqual(channel.state, "errored", `seed ${seed}: ${channel.topic} stays away`);
    for (const { what, outcome } of asked) seen.add(`${what}: ${outcome}`);
    socket.disconnect();
    for (const channel of channels) void channel.leave();
    await settle();
    assert.equal(clock.pending, 0, `seed ${seed} left timers`);
  }
  for (const outcome of ["push: ok", "push: no", "push: timeout", "push: aborted", "push: disconnected", "push: overflow", "push while closed: channel_closed", "join: ok", "join: taken", "join: timeout", "join: aborted", "leave: ok", "leave: timeout", "connect: ok", "connect: aborted", "connect: disconnected"]) {
    assert.ok(seen.has(outcome), `no schedule had ${outcome}`);
  }
});

/** Compares the results of the client with the record of the server. */
function check(seed, { asked, received, heard }) {
  for (const { what, outcome } of asked) assert.notEqual(outcome, null, `seed ${seed}: a ${what} never settled`);
  const arrived = new Map();
  const last = new Map();
  for (const { topic, n } of received) {
    arrived.set(n, (arrived.get(n) ?? 0) + 1);
    assert.ok(n > (last.get(topic) ?? -1), `seed ${seed}: ${n} came after ${last.get(topic)} on ${topic}`);
    last.set(topic, n);
  }
  for (const { what, n, outcome, response } of asked) {
    if (n === undefined) continue;
    const times = arrived.get(n) ?? 0;
    assert.ok(times <= 1, `seed ${seed}: push ${n} arrived ${times} times`);
    if (outcome === "ok") assert.deepEqual([times, response], [1, { n }], `seed ${seed}`);
    if (outcome === "overflow" || what === "push while closed") assert.equal(times, 0, `seed ${seed}: ${outcome}, and yet it arrived`);
  }
  for (const numbers of heard) {
    assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), `seed ${seed}: heard twice or out of order`);
  }
}
