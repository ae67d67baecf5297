/** A page that is shown again after its connection to the broker has died silently. */

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startSilentProxy } from "../silent-proxy.mjs";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
const proxy = await startSilentProxy(broker.port);
after(() => proxy.close());

test("a page that becomes visible over a dead connection is not connected, and then connects again", async () => {
  const { page } = await openPage(browser);
  await page.goto(proxy.url);
  await page.evaluate(async () => {
    const { Socket } = await import("/lib/index.js");
    window.changes = [];
    window.socket = new Socket("/socket");
    window.socket.on("connected", (isConnected) => window.changes.push(isConnected));
    window.socket.on("close", ({ reason }) => window.changes.push(reason));
    await window.socket.connect();
  });
  // Pages under Playwright are always visible, so the page is told so.
  const comeBack = () => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  const changes = () => page.evaluate(() => window.changes);

  await comeBack();
  await page.waitForFunction(() => window.changes.length === 3);
  assert.deepEqual(await changes(), [true, false, true], "a connection that lives answers the probe");

  proxy.fallSilent();
  await comeBack();
  await page.waitForFunction(() => window.changes.length === 4);
  assert.deepEqual(await page.evaluate(() => [window.socket.state, window.socket.isConnected]), ["open", false]);
  await page.waitForFunction(() => window.changes.length === 6);
  assert.deepEqual((await changes()).slice(3), [false, "heartbeat timeout", true]);
});
