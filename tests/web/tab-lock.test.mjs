/** One owner for what a tab remembers, in browsers without locks: each copy of the module is a tab. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./fakes.mjs";

Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
/** Delivers in a later turn, as browsers do. */
globalThis.BroadcastChannel = /** @type {any} */ (
  class FakeBroadcastChannel {
    static all = new Set();

    constructor(name) {
      this.name = name;
      FakeBroadcastChannel.all.add(this);
    }

    postMessage(data) {
      for (const other of FakeBroadcastChannel.all) {
        if (other !== this && other.name === this.name) setImmediate(() => FakeBroadcastChannel.all.has(other) && other.onmessage({ data }));
      }
    }

    close() {
      FakeBroadcastChannel.all.delete(this);
    }
  }
);

let tabs = 0;
const openTab = async () => (await import(`../../web/app/tab-lock.js?${++tabs}`)).acquire;

/** What was posted, and what was answered, has arrived. */
async function delivered() {
  for (let turn = 0; turn < 5; turn++) await settle();
}

test("of two tabs that ask at the same time, one owns the share", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const [first, copy] = [await openTab(), await openTab()];
  const owners = [first("asked together"), copy("asked together")];
  await delivered();
  t.mock.timers.tick(60_000);
  assert.deepEqual((await Promise.all(owners)).sort(), [false, true]);
});

test("a tab that owns a share keeps it, and another share has an owner of its own", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const [first, copy] = [await openTab(), await openTab()];
  const own = first("kept");
  t.mock.timers.tick(60_000);
  assert.equal(await own, true);
  const others = [copy("kept"), copy("another")];
  await delivered();
  t.mock.timers.tick(60_000);
  assert.deepEqual(await Promise.all(others), [false, true]);
  assert.equal(await first("kept"), true);
});
