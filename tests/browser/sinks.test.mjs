/** Where a receiver's files go, in a real Chromium: places that were picked, full disks, a worker that dies. What is not whole never looks whole. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startBroker } from "../broker.mjs";
import { launch, openPage } from "./chromium.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {string} of the senders' real files */
let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  broker = await startBroker();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await broker?.kill();
  await rm(folder, { recursive: true });
});

/** Large enough to be caught on its way. */
const BIG = randomBytes(24_000_000);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const done = (page) => page.locator("#receive-state", { hasText: "both sides agree" }).waitFor({ timeout: 60_000 });
const underWay = (page) => page.locator("#receive-figures", { hasText: /^[1-9]\d? %/ }).waitFor();

/** A sender of real files: what a page is handed over the debugging protocol is slow, and is never changed on a disk. */
async function shareFromDisk(...files) {
  const sharer = await openPage(browser);
  await sharer.page.goto(broker.url);
  await sharer.page.locator("#drop").waitFor();
  const paths = files.map(([name]) => join(folder, name));
  await Promise.all(files.map(([, bytes], at) => writeFile(paths[at], bytes)));
  await sharer.page.setInputFiles("#file", paths);
  await sharer.page.locator("#share-state:not(:empty)").waitFor();
  return { ...sharer, paths, link: await sharer.page.inputValue("#link") };
}

/** A receiver's page that is connected; `prepare` runs in it before its own scripts. */
async function visit(link, prepare) {
  const receiver = await openPage(browser);
  await receiver.page.addInitScript(prepare);
  await receiver.page.goto(link);
  await receiver.page.click("#connect");
  await receiver.page.locator("#offers li").first().waitFor();
  return receiver;
}

/** Headless browsers have no pickers; the private file system has the same interface. */
function stubPickers() {
  window.showSaveFilePicker = async ({ suggestedName }) => {
    const root = await navigator.storage.getDirectory();
    return root.getFileHandle(suggestedName, { create: true });
  };
  window.showDirectoryPicker = async () => (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
}

/** What stands under a name where the stubs put it: its size and its hash, or null. */
function standing(page, name) {
  return page.evaluate(async (wanted) => {
    const root = await navigator.storage.getDirectory();
    const handle = await root.getFileHandle(wanted).catch(() => null);
    if (!handle) return null;
    const bytes = await (await handle.getFile()).arrayBuffer();
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return { size: bytes.byteLength, sha256: Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("") };
  }, name);
}

test("a file is saved where the person says, over a lost connection too, and is there only when it is whole", async () => {
  const sharer = await shareFromDisk(["big.bin", BIG], ["other.bin", "other"]);
  const { page, complaints } = await visit(sharer.link, stubPickers);
  const saveAs = page.getByRole("button", { name: "Save as" });
  assert.equal(await saveAs.isVisible(), false, "two files do not fit into one");
  await page.getByLabel("other.bin").uncheck();
  await saveAs.click();
  await underWay(page);
  await sharer.page.evaluate(() => window.peerConnections.forEach((connection) => connection.close()));
  await page.getByText("Trying again by itself").waitFor();
  assert.equal((await standing(page, "big.bin"))?.size, 0);
  await done(page);
  assert.equal((await standing(page, "big.bin"))?.sha256, sha256(BIG));
  assert.deepEqual(complaints, []);
});

test("a file that is cancelled on its way to where the person said is gone from there", async () => {
  const sharer = await shareFromDisk(["big.bin", BIG]);
  const { page } = await visit(sharer.link, stubPickers);
  await page.getByRole("button", { name: "Save as" }).click();
  await underWay(page);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Cancelled. What had arrived was thrown away.").waitFor();
  for (let tries = 0; tries < 100 && (await standing(page, "big.bin")) !== null; tries++) await page.evaluate(() => new Promise(requestAnimationFrame));
  assert.equal(await standing(page, "big.bin"), null);
  await page.getByRole("button", { name: "Save as" }).waitFor();
});

test("a reload forgets where to save, and the page says so instead of saving elsewhere", async () => {
  const sharer = await shareFromDisk(["big.bin", BIG]);
  const { page } = await visit(sharer.link, stubPickers);
  await page.getByRole("button", { name: "Save as" }).click();
  await underWay(page);
  await page.reload();
  await page.getByText("a browser forgets such places").waitFor();
  assert.equal((await standing(page, "big.bin"))?.size, 0);
  await page.getByRole("button", { name: "Save as" }).click();
  await done(page);
  assert.equal((await standing(page, "big.bin"))?.sha256, sha256(BIG));
});

test("a disk that is full amid a picked file is said in words, and serves again once it has room", async () => {
  const sharer = await shareFromDisk(["big.bin", BIG]);
  const { page } = await visit(sharer.link, stubPickers);
  const session = await page.context().newCDPSession(page);
  const origin = new URL(broker.url).origin;
  await page.getByRole("button", { name: "Save as" }).click();
  await underWay(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1_000 });
  await page.getByText("The place that you picked could not be written to: its disk may be full").waitFor();
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  await page.getByRole("button", { name: "Save as" }).click();
  await done(page);
  assert.equal((await standing(page, "big.bin"))?.sha256, sha256(BIG));
});

test("a picker that is closed changes nothing, one that is refused is spoken of", async () => {
  const sharer = await shareFromDisk(["a.bin", "a"]);
  const { page } = await visit(sharer.link, () => {
    window.showSaveFilePicker = () => Promise.reject(new DOMException("closed", "AbortError"));
    window.showDirectoryPicker = () => Promise.reject(new DOMException("not here", "SecurityError"));
  });
  await page.getByRole("button", { name: "Save as" }).click();
  await page.locator("#download-file:enabled").waitFor();
  assert.equal(await page.locator("#receive-error").isVisible(), false);
  await page.getByRole("button", { name: "Save into a folder" }).click();
  await page.getByText("The place that you picked could not be written to").waitFor();
});

/** A browser whose private disk is full, so that downloads go through the service worker. */
function withoutDisk() {
  navigator.storage.estimate = async () => ({ quota: 0, usage: 0 });
}

test("a service worker that is stopped amid a download: the page says that the file is not whole", async () => {
  const sharer = await shareFromDisk(["big.bin", BIG]);
  const { page } = await visit(sharer.link, withoutDisk);
  const session = await page.context().newCDPSession(page);
  await session.send("ServiceWorker.enable");
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await underWay(page);
  await session.send("ServiceWorker.stopAllWorkers");
  await page.getByText("The browser broke its own download off, so the file in its list is not whole").waitFor();
  assert.notEqual(await (await saved).failure(), null);
  assert.equal(await page.getByText("both sides agree").count(), 0);
  await sharer.page.getByText(/^Could not go on at/).waitFor();
  const again = page.waitForEvent("download");
  await page.click("#download");
  await done(page);
  assert.equal(await (await again).failure(), null);
});

test("a download that is cancelled in the browser's own list is over, and so it is said", async () => {
  const sharer = await shareFromDisk(["big.bin", BIG]);
  const { page } = await visit(sharer.link, withoutDisk);
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await underWay(page);
  await (await saved).cancel();
  await page.getByText("the browser’s own list of downloads, has ended this transfer").waitFor();
  assert.equal(await page.getByText("both sides agree").count(), 0);
});

test("a download that is cancelled on the page fails in the browser's own list", async () => {
  const sharer = await shareFromDisk(["big.bin", BIG]);
  const { page } = await visit(sharer.link, withoutDisk);
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await underWay(page);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Cancelled. What had arrived was thrown away.").waitFor();
  assert.notEqual(await (await saved).failure(), null);
});

test("the address of a download that is over leads to words, in the person's language", async () => {
  const sharer = await shareFromDisk(["a.bin", "a"]);
  const { page } = await visit(sharer.link, withoutDisk);
  await page.click("#download");
  await done(page);
  await page.goto(new URL("/download/3f0c", broker.url).href);
  await page.getByText("This download is over and cannot be opened again").waitFor();
});

test("without a disk and a service worker a file goes through memory, and one that is too large for it is refused in words", async () => {
  const sharer = await shareFromDisk(["small.bin", BIG], ["large.bin", ""]);
  await truncate(sharer.paths[1], 600 * 1024 * 1024);
  await sharer.page.reload();
  await sharer.page.setInputFiles("#more", sharer.paths);
  const { page } = await visit(sharer.link, () => {
    navigator.storage.estimate = async () => ({ quota: 0, usage: 0 });
    ServiceWorkerContainer.prototype.register = () => Promise.reject(new DOMException("blocked", "SecurityError"));
  });
  await page.click("#download");
  await page.getByText("This is larger than what this browser may store").waitFor();
  await page.getByLabel("large.bin").uncheck();
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await done(page);
  assert.equal(sha256(await readFile(await (await saved).path())), sha256(BIG));
});
