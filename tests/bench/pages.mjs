/** Shared by the web benchmarks: a broker, two Chromiums, a big file, and pages that share and fetch it with the library. */

import { createWriteStream } from "node:fs";
import { randomFillSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { startBroker } from "../broker.mjs";
import { launchOnDisk } from "../browser/chromium.mjs";

export const MB = 1_000_000;
const BLOCK = 4 * MB;

/**
 * @template T
 * @param {number} size of the file, bytes
 * @param {(world: {broker: import("../broker.mjs").Broker, browsers: import("playwright-core").BrowserContext[], path: string}) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withWorld(size, work) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-bench-"));
  const path = join(folder, "big.bin");
  await pipeline(Readable.from(randomBlocks(size)), createWriteStream(path));
  const broker = await startBroker();
  const browsers = await Promise.all(["sender", "receiver"].map((name) => launchOnDisk(join(folder, name))));
  try {
    return await work({ broker, browsers, path });
  } finally {
    for (const browser of browsers) await browser.close();
    await broker.kill();
    await rm(folder, { recursive: true });
  }
}

/** @param {number} size */
function* randomBlocks(size) {
  for (let at = 0; at < size; at += BLOCK) yield randomFillSync(Buffer.allocUnsafe(Math.min(BLOCK, size - at)));
}

/**
 * A page with the library and without the app.
 *
 * @param {import("playwright-core").BrowserContext} browser
 * @param {string} url
 */
export async function openLibrary(browser, url) {
  const page = await browser.newPage();
  for (const other of browser.pages()) if (other !== page) await other.close();
  // Any page of the origin will do; this one has scripts of its own only once a button is pressed.
  await page.goto(`${url}examples/call.html`);
  await page.evaluate(async () => {
    const entryPoints = ["/lib/index.js", "/lib/rtc/index.js", "/lib/share/index.js"];
    window.library = Object.assign({}, ...(await Promise.all(entryPoints.map((path) => import(path)))));
  });
  return page;
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} path of the file on the disk
 * @returns {Promise<string>} the sharer's id
 */
export async function share(page, path) {
  await page.evaluate(() => {
    const input = document.createElement("input");
    input.type = "file";
    input.id = "big";
    document.body.append(input);
  });
  await page.setInputFiles("#big", path);
  return page.evaluate(async () => {
    const { FileShare, Peer, Socket, createIdentity } = window.library;
    const peer = new Peer(new Socket("/socket"), await createIdentity());
    const share = new FileShare(peer, new Uint8Array(16));
    share.catalogue.add([{ file: document.querySelector("#big").files[0] }]);
    await peer.join();
    return peer.id;
  });
}

/** @typedef {"disk" | "stream" | "nothing"} Sink the private file system, a download of the browser, or nowhere at all */

/**
 * Connects, takes everything, and hangs up.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} sharer
 * @param {Sink} sink
 * @returns {Promise<number>} seconds from the list to the agreement on the hash
 */
export function fetch(page, sharer, sink) {
  return page.evaluate(
    async ({ sharer, sink }) => {
      const { Download, FileFetch, Peer, Socket, createIdentity, openTarget } = window.library;
      const nothing = {
        allOrNothing: false,
        open: async () => ({ storedBytes: 0, read: async () => new Uint8Array(0), write: async (_at, bytes) => bytes, close: async () => {} }),
        remove: async () => {},
        finish: async () => [],
        abort: async () => {},
      };
      if (sink === "stream") navigator.storage.estimate = async () => ({ quota: 0, usage: 0 });
      const peer = new Peer(new Socket("/socket"), await createIdentity());
      await peer.join();
      const fetch = new FileFetch(peer, sharer, new Uint8Array(16));
      const listed = new Promise((resolve) => fetch.on("list", resolve));
      void fetch.start();
      const entries = await listed;
      // A scope of its own: what the last round stored must not count.
      const target = sink === "nothing" ? nothing : await openTarget(entries, crypto.randomUUID());
      const begun = performance.now();
      const download = new Download(entries, target);
      fetch.add(download);
      await download.finished;
      const seconds = (performance.now() - begun) / 1_000;
      fetch.stop();
      return seconds;
    },
    { sharer, sink },
  );
}

/** @param {number[]} values @returns {number} */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/**
 * @param {string} name
 * @param {number} usual
 * @returns {number} of `--name=3`
 */
export function option(name, usual) {
  const word = process.argv.find((arg) => arg.startsWith(`--${name}=`));
  return word ? Number(word.split("=")[1]) : usual;
}
