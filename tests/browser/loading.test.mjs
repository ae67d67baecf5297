/** What the web app loads before somebody can use it, in a real Chromium on a network with a latency of 300 ms. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { script, setPassword, share } from "./app-steps.mjs";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

/** @typedef {{name: string, encodedBodySize: number, transferSize: number, startTime: number, responseEnd: number}} Load */

const LATENCY = 300;
/** Of all files together, compressed (bytes). */
const MAX_BYTES = 60_000;
/** What every view needs, without the hashes in the names. */
const COMMON = ["assets/core.js", "assets/en.js", "assets/figtree.woff2", "assets/main.js", "assets/page.css", "assets/unloaded.js", "icon.svg"];
const HASH = /-[\w-]{8}(?=\.\w+$)/;

const { broker, browser } = await start();

/** Runs in the page, before its own scripts: notes when one of the views is shown. */
function noteUsable() {
  const isShown = (/** @type {string} */ id) => document.getElementById(id)?.hidden === false;
  new MutationObserver((_, observer) => {
    if (!isShown("share") && !isShown("receive")) return;
    observer.disconnect();
    window.usableAfter = performance.now();
  }).observe(document, { subtree: true, childList: true, attributes: true });
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} url
 * @returns {Promise<{index: Load, files: Load[], usableAfter: number}>} what it requests until it can be used
 */
async function load(page, url) {
  await page.goto(url);
  await page.waitForFunction(() => window.usableAfter !== undefined);
  return page.evaluate(() => {
    const [index] = performance.getEntriesByType("navigation");
    const files = performance.getEntriesByType("resource").filter(({ startTime }) => startTime <= window.usableAfter);
    return { index: index.toJSON(), files: files.map((file) => file.toJSON()), usableAfter: window.usableAfter };
  });
}

/** @param {string} url */
const pathOf = (url) => url.slice(broker.url.length);

/**
 * @param {Load[]} loads
 * @returns {number} how many requests have waited for each other, one after the other
 */
function rounds(loads) {
  const before = ({ startTime }) => loads.filter(({ responseEnd }) => responseEnd <= startTime);
  const depth = (/** @type {Load} */ one) => 1 + Math.max(0, ...before(one).map(depth));
  return Math.max(...loads.map(depth));
}

for (const [title, view, find] of /** @type {const} */ ([
  ["the page of a link", ["assets/receive-view.js"], async () => (await share(browser, broker.url, [{ name: "a.txt", bytes: Buffer.from("a") }])).link],
  ["the landing page", ["assets/share-view.js", "assets/tab-lock.js"], async () => broker.url],
])) {
  test(`${title} loads only what it needs, in three rounds, and once`, async (t) => {
    const url = await find();
    const { page, complaints } = await openPage(browser);
    await page.context().addInitScript(noteUsable);
    const network = await page.context().newCDPSession(page);
    await network.send("Network.emulateNetworkConditions", { offline: false, latency: LATENCY, downloadThroughput: -1, uploadThroughput: -1 });

    const { index, files, usableAfter } = await load(page, url);
    const bytes = [index, ...files].reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
    t.diagnostic(`${files.length + 1} requests, ${bytes} bytes, usable after ${Math.round(usableAfter)} ms at a latency of ${LATENCY} ms`);
    const loaded = new Set(files.map(({ name }) => pathOf(name).replace(HASH, ""))); // Chromium may count the icon twice, also for its tab
    assert.deepEqual([...loaded].sort(), [...COMMON, ...view].sort());
    assert.ok(bytes < MAX_BYTES, `${bytes} bytes`);
    assert.equal(rounds([index, ...files.filter(({ name }) => name.endsWith(".js"))]), 3);

    const again = await load(await page.context().newPage(), url);
    const isAsset = (/** @type {Load} */ { name }) => pathOf(name).startsWith("assets/");
    assert.deepEqual(again.files.filter(isAsset).map(({ transferSize }) => transferSize), files.filter(isAsset).map(() => 0));
    assert.deepEqual(complaints, []);
  });
}

test("every file with a hash in its name may be kept, and the index page may not", async () => {
  const index = await fetch(broker.url, { headers: { accept: "text/html" } });
  assert.equal(index.headers.get("cache-control"), "no-cache");
  const paths = Array.from((await index.text()).matchAll(/(?:href|src)="(assets\/[^"]+)"/g), ([, path]) => path);
  assert.ok(paths.length > 0, "the page is not bundled");
  for (const path of paths) {
    const { status, headers } = await fetch(new URL(path, broker.url));
    assert.deepEqual([path, status, headers.get("cache-control")], [path, 200, "public, max-age=31536000, immutable"]);
  }
});

test("a share with a password admits a receiver when the server has no file of this page any more", async () => {
  const { page, link } = await share(browser, broker.url, [{ name: "a.txt", bytes: Buffer.from("a") }]);
  const proof = page.waitForResponse(script("cpace"));
  await setPassword(page, "open sesame");
  await (await proof).finished();
  await page.route(/\.js$/, (route) => route.fulfill({ status: 404 }));
  const receiver = await openPage(browser);
  await receiver.page.goto(await page.inputValue("#link"));
  await receiver.page.fill("#receive-password", "open sesame");
  await receiver.page.click("#connect");
  await receiver.page.locator("#verified").waitFor();
  assert.notEqual(await page.inputValue("#link"), link);
});
