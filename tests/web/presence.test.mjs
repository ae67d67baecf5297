/** Presence: states, diffs, and diffs that arrive before their state. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Presence } from "../../web/lib/index.js";
import { Emitter } from "../../web/lib/util/emitter.js";

class FakeChannel {
  #events = new Emitter();
  #states = new Emitter();
  on = (event, fn) => this.#events.on(event, fn);
  onState = (fn) => this.#states.on("state", fn);
  say = (event, payload) => this.#events.emit(event, payload);
  enter = (state) => this.#states.emit("state", state, null);
}

const entry = (...refs) => ({ metas: refs.map((phx_ref) => ({ phx_ref })) });

function setUp() {
  const channel = new FakeChannel();
  const presence = new Presence(channel);
  const log = [];
  presence.on("join", (key, metas) => log.push(`+${key}:${metas.map((meta) => meta.phx_ref)}`));
  presence.on("leave", (key, metas) => log.push(`-${key}:${metas.map((meta) => meta.phx_ref)}`));
  presence.on("sync", () => log.push("sync"));
  channel.enter("joining");
  const listed = () => presence.list().map(({ key, metas }) => `${key}:${metas.map((meta) => meta.phx_ref)}`);
  return { channel, log, listed };
}

test("diffs wait for the state and are applied after it", () => {
  const { channel, log, listed } = setUp();
  channel.say("presence_diff", { joins: { c: entry("3") }, leaves: { a: entry("1") } });
  assert.deepEqual([log, listed()], [[], []]);
  channel.say("presence_state", { a: entry("1"), b: entry("2") });
  assert.deepEqual(listed(), ["b:2", "c:3"]);
  assert.deepEqual(log, ["+a:1", "+b:2", "+c:3", "-a:1", "sync"]);
});

test("one key may have several metas, which differ in phx_ref", () => {
  const { channel, log, listed } = setUp();
  channel.say("presence_state", { a: entry("1") });
  channel.say("presence_diff", { joins: { a: entry("2") }, leaves: {} });
  channel.say("presence_diff", { joins: { a: entry("2") }, leaves: {} });
  assert.deepEqual(listed(), ["a:1,2"]);
  channel.say("presence_diff", { joins: {}, leaves: { a: entry("1") } });
  assert.deepEqual(listed(), ["a:2"]);
  assert.deepEqual(log.filter((line) => line !== "sync"), ["+a:1", "+a:2", "-a:1"]);
});

test("an update replaces a meta, and the key does not leave in between", () => {
  const { channel, listed } = setUp();
  channel.say("presence_state", { a: entry("1") });
  channel.say("presence_diff", { joins: { a: entry("2") }, leaves: { a: entry("1") } });
  assert.deepEqual(listed(), ["a:2"]);
});

test("the state after a rejoin is compared with the previous list", () => {
  const { channel, log, listed } = setUp();
  channel.say("presence_state", { a: entry("1"), b: entry("2") });
  channel.enter("errored");
  channel.enter("joining");
  log.length = 0;
  channel.say("presence_diff", { joins: { d: entry("4") }, leaves: {} });
  channel.say("presence_state", { b: entry("2"), c: entry("3") });
  assert.deepEqual(log, ["+c:3", "-a:1", "+d:4", "sync"]);
  assert.deepEqual(listed(), ["b:2", "c:3", "d:4"]);
});

test("keys may be named like properties of objects", () => {
  const { channel, listed } = setUp();
  channel.say("presence_state", JSON.parse('{"__proto__":{"metas":[{"phx_ref":"1"}]},"constructor":{"metas":[{"phx_ref":"2"}]}}'));
  assert.deepEqual(listed(), ["__proto__:1", "constructor:2"]);
  channel.say("presence_state", {});
  assert.deepEqual(listed(), []);
});
