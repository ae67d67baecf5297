/** What is different on a phone: nothing speaks of dropping files, progress is on the first screen, and received files go to apps. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { connect, share } from "./app-steps.mjs";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();

const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

test("only who has a mouse reads that files can be dropped or pasted", async () => {
  for (const [options, isTold] of /** @type {const} */ ([[PHONE, false], [{}, true]])) {
    const { page } = await openPage(browser, options);
    await page.goto(broker.url);
    await page.locator("#drop").waitFor();
    assert.equal(await page.getByText("or drop or paste them").isVisible(), isTold);
  }
});

test("the sender's first screen shows the progress while something is sent", async () => {
  const sharer = await share(browser, broker.url, [{ name: "a.bin", bytes: randomBytes(30_000_000) }], PHONE);
  const { page } = await connect(browser, sharer.link);
  const shown = sharer.page.waitForFunction(() => {
    const { top, bottom, height } = document.querySelector("#share-bar").getBoundingClientRect();
    return height > 0 && { top: top + scrollY, bottom: bottom + scrollY };
  });
  await page.click("#download");
  const { top, bottom } = await (await shown).jsonValue();
  assert.ok(top >= 0 && bottom < PHONE.viewport.height, `from ${top} to ${bottom}`);
});

test("received files are handed to an app one by one, with types that tell nothing of the sender's", async () => {
  const sharer = await share(browser, broker.url, ["one.jpg", "page.html"].map((name) => ({ name, bytes: Buffer.from("hello") })));
  const { page, complaints } = await openPage(browser, PHONE);
  await page.addInitScript(() => {
    window.handed = [];
    navigator.canShare = ({ files }) => files.length > 0;
    navigator.share = async ({ files }) => {
      window.handed.push(files.map(({ name, type, size }) => [name, type, size]));
      throw new DOMException("closed", "AbortError");
    };
  });
  await page.goto(sharer.link);
  await page.click("#connect");
  await page.click("#download");
  await page.getByRole("heading", { name: "Received and verified" }).waitFor();
  await page.getByRole("button", { name: "Share…" }).click();
  await page.waitForFunction(() => window.handed.length === 1);
  assert.deepEqual(await page.evaluate(() => window.handed[0]), [["one.jpg", "image/jpeg", 5], ["page.html", "application/octet-stream", 5]]);
  assert.deepEqual(complaints, []);
});
