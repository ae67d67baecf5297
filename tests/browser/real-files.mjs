/**
 * Shares real files from disk. A real file can be changed while it is shared, and a large one is available
 * immediately, while the debugging protocol would transfer it slowly.
 */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openPage } from "./chromium.mjs";

/** Large enough to be caught on its way. */
export const BIG = randomBytes(24_000_000);

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** @param {import("playwright-core").Page} page of a receiver */
export const done = (page) => page.locator("#receive-state", { hasText: "Download complete, verified" }).waitFor({ timeout: 60_000 });

/** @param {import("playwright-core").Page} page of a receiver */
export const underWay = (page) => reaches(page, 1);

/**
 * Looks at every frame: a locator looks twice a second, and a short download would be over.
 *
 * @param {import("playwright-core").Page} page of a receiver
 * @param {number} percent that it has at least, and is not complete
 */
export function reaches(page, percent) {
  const isThere = (/** @type {number} */ least) => parseInt(document.querySelector("#receive-figures")?.textContent ?? "") >= least && !document.querySelector("#receive-progress[hidden]");
  return page.waitForFunction(isThere, percent, { timeout: 60_000 });
}

/** @type {string[]} */
const folders = [];

/**
 * @param {import("playwright-core").Browser} browser
 * @param {string} url
 * @param {Record<string, string | Buffer>} files by their path
 */
export async function shareFromDisk(browser, url, files) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  folders.push(folder);
  for (const [path, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  }
  const paths = Object.keys(files).map((path) => join(folder, path));
  const isFolder = paths.some((path) => dirname(path) !== folder);
  const sharer = await openPage(browser);
  await sharer.page.goto(url);
  await sharer.page.locator("#drop").waitFor();
  await sharer.page.setInputFiles(isFolder ? "#folder" : "#file", isFolder ? folder : paths);
  await sharer.page.locator("#share-state:not(:empty)").waitFor();
  return { ...sharer, paths, link: await sharer.page.inputValue("#link") };
}

/**
 * A large file is changed on the sender's disk while its download is paused: it never counts as arrived, and the other
 * file does.
 *
 * @param {import("playwright-core").Browser} from of the sharer
 * @param {import("playwright-core").Browser} to of the receiver
 * @param {string} url
 * @param {(path: string) => Promise<void>} change
 * @param {RegExp} told to the receiver
 */
export async function changeOnDisk(from, to, url, change, told) {
  const sharer = await shareFromDisk(from, url, { "big.bin": BIG, "small.txt": "small" });
  const { page } = await visit(to, sharer.link);
  await page.click("#download");
  await underWay(page);
  await page.click("#pause");
  await page.getByText(/^Paused at/).waitFor();
  await change(sharer.paths[0]);
  const saved = page.waitForEvent("download");
  await page.click("#pause");
  await page.getByText(told).waitFor();
  assert.equal((await saved).suggestedFilename(), "small.txt");
  await sharer.page.getByText("big.bin was changed, moved or deleted on this device after you chose it").waitFor();
}

/** Throws away what was shared. */
export async function removeFiles() {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
}

/**
 * A receiver that is connected.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {string} link
 * @param {() => void} [prepare] runs in the page, before its own scripts
 */
export async function visit(browser, link, prepare = () => {}) {
  const receiver = await openPage(browser);
  await receiver.page.addInitScript(prepare);
  await receiver.page.goto(link);
  await connectOnPage(receiver.page);
  return receiver;
}

/** Lets a browser find its private disk full, so that downloads go through the service worker. It runs in the page. */
export function withoutDisk() {
  // the script runs in Firefox's blank page, too, which has no storage
  if (navigator.storage) navigator.storage.estimate = async () => ({ quota: 0, usage: 0 });
}

/** @param {import("playwright-core").Page} page that shows an invitation */
export async function connectOnPage(page) {
  await page.click("#connect");
  await page.locator("#offers [role=row]").first().waitFor();
}
