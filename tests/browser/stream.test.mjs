/** Downloads through a service worker in a real Chromium: refused, stopped, cancelled. An incomplete file never looks complete. */

import assert from "node:assert/strict";
import { readFile, truncate } from "node:fs/promises";
import { after, test } from "node:test";
import { BIG, done, removeFiles, sha256, shareFromDisk, underWay, visit, withoutDisk } from "./real-files.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
after(removeFiles);

test("when the service worker is stopped during a download, the page shows that the file is incomplete", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page } = await visit(browser, sharer.link, withoutDisk);
  const session = await page.context().newCDPSession(page);
  await session.send("ServiceWorker.enable");
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await underWay(page);
  await session.send("ServiceWorker.stopAllWorkers");
  await page.getByText("The browser aborted its own download, so the file in its list is incomplete").waitFor();
  assert.notEqual(await (await saved).failure(), null);
  assert.equal(await page.getByText("Download complete, verified").count(), 0);
  await sharer.page.getByText(/^Failed at/).waitFor();
  const again = page.waitForEvent("download");
  await page.click("#download");
  await done(page);
  assert.equal(await (await again).failure(), null);
});

test("a download that is cancelled in the browser's list is over, and the page shows it", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page } = await visit(browser, sharer.link, withoutDisk);
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await underWay(page);
  await (await saved).cancel();
  await page.getByText("the browser’s own list of downloads, ended this transfer").waitFor();
  assert.equal(await page.getByText("Download complete, verified").count(), 0);
});

test("a download that is cancelled on the page fails in the browser's list", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page } = await visit(browser, sharer.link, withoutDisk);
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await underWay(page);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Cancelled. Partial data deleted.").waitFor();
  assert.notEqual(await (await saved).failure(), null);
});

test("the URL of a finished download leads to a message in the user's language", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "a.bin": "a" });
  const { page } = await visit(browser, sharer.link, withoutDisk);
  await page.click("#download");
  await done(page);
  await page.goto(new URL("/download/3f0c", broker.url).href);
  await page.getByText("This download is over and cannot be opened again").waitFor();
});

for (const [title, path, prepare] of /** @type {Array<[string, string, () => any]>} */ ([
  ["the worker, which has lost it,", `download/${Date.now() + 3_600_000}-3f0c`, () => {}],
  ["the server, because the worker is gone,", "download/3f0c", async () => (await navigator.serviceWorker.getRegistration("download/"))?.unregister()],
])) {
  test(`a download that ${title} answers leaves the page as it is`, async () => {
    const sharer = await shareFromDisk(browser, broker.url, { "a.bin": "a" });
    const { page } = await visit(browser, sharer.link, withoutDisk);
    await page.click("#download");
    await done(page);
    await page.evaluate(prepare);
    const answer = page.waitForResponse((response) => response.url().endsWith(path));
    await page.evaluate((path) => location.assign(path), path);
    assert.equal((await answer).status(), 204);
    assert.equal(await page.locator("#verified").isVisible(), true);
    const again = page.waitForEvent("download");
    await page.click("#download");
    assert.equal(await (await again).failure(), null);
  });
}

test("without OPFS and a service worker a file goes through memory, and a file that is too large for it is refused with a message", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "small.bin": BIG, "large.bin": "" });
  await truncate(sharer.paths[1], 600 * 1024 * 1024);
  await sharer.page.reload();
  await sharer.page.setInputFiles("#more", sharer.paths);
  const { page } = await visit(browser, sharer.link, () => {
    navigator.storage.estimate = async () => ({ quota: 0, usage: 0 });
    ServiceWorkerContainer.prototype.register = () => Promise.reject(new DOMException("blocked", "SecurityError"));
  });
  await page.click("#download");
  await page.getByText("This is larger than what this browser can store").waitFor();
  await page.getByRole("checkbox", { name: "large.bin" }).uncheck();
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await done(page);
  assert.equal(sha256(await readFile(await (await saved).path())), sha256(BIG));
});
