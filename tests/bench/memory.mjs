/**
 * Memory of the pages while a big file is sent between two Chromiums, into OPFS and into a download of the
 * browser: `node bench/memory.mjs --mb=1000`. It measures the private memory of all renderers (the page and
 * its workers), that of the whole browser with its disk and network processes, and the page's JS heap.
 * It fails if the renderers grow by more than BOUND, whatever the file's size.
 */

import { readFile, stat } from "node:fs/promises";
import { MB, fetch, median, openLibrary, option, share, withWorld } from "./pages.mjs";

const BOUND = 200 * MB;
const EVERY = 200;
const size = option("mb", 1_000) * MB;

/** @typedef {{renderers: number, browser: number, heap: number}} Sample bytes */

/**
 * @param {import("playwright-core").Page} page the only one of its browser
 * @returns {Promise<() => Promise<Sample[]>>} call it to stop and to have the samples, in order
 */
async function watch(page) {
  const browser = await page.context().browser().newBrowserCDPSession();
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const sample = async () => {
    const { processInfo } = await browser.send("SystemInfo.getProcessInfo");
    const sum = async (/** @type {string[]} */ ids) => (await Promise.all(ids.map(privateBytes))).reduce((a, b) => a + b, 0);
    const { metrics } = await session.send("Performance.getMetrics");
    return {
      renderers: await sum(processInfo.filter(({ type }) => type === "renderer").map(({ id }) => String(id))),
      browser: await sum(processInfo.map(({ id }) => String(id))),
      heap: metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? 0,
    };
  };
  const samples = [await sample()];
  let goesOn = true;
  const done = (async () => {
    while (goesOn) {
      await new Promise((resolve) => setTimeout(resolve, EVERY));
      samples.push(await sample());
    }
  })();
  return async () => {
    goesOn = false;
    await done;
    return samples;
  };
}

/** @param {string} pid @returns {Promise<number>} 0 for one that is gone */
async function privateBytes(pid) {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  const kilobytes = [...rollup.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)].map(([, count]) => Number(count));
  return kilobytes.reduce((a, b) => a + b, 0) * 1_024;
}

/**
 * @param {string} name
 * @param {Sample[]} samples
 * @returns {boolean} whether the bound is kept
 */
function print(name, samples) {
  for (const what of /** @type {const} */ (["renderers", "browser", "heap"])) {
    const all = samples.map((sample) => sample[what]);
    const [least, most] = [Math.min(...all), Math.max(...all)];
    const figures = [all[0], least, median(all), most, most - all[0]].map((bytes) => (bytes / MB).toFixed(1).padStart(8));
    console.log(`${`${name}, ${what}`.padEnd(30)} ${figures.join(" ")}`);
  }
  const growth = Math.max(...samples.map(({ renderers }) => renderers)) - samples[0].renderers;
  return growth <= BOUND;
}

console.log(`${size / MB} MB pass; private memory in MB${" ".repeat(5)}start      min   median      max   growth`);
const kept = [];
for (const sink of /** @type {const} */ (["disk", "stream"])) {
  await withWorld(size, async ({ broker, browsers, path }) => {
    const [sender, receiver] = await Promise.all(browsers.map((browser) => openLibrary(browser, broker.url)));
    const id = await share(sender, path);
    const saved = sink === "stream" ? receiver.waitForEvent("download", { timeout: 0 }) : null;
    const stops = [await watch(sender), await watch(receiver)];
    const seconds = await fetch(receiver, id, sink);
    const [sent, received] = await Promise.all(stops.map((stop) => stop()));
    if (saved) {
      const { size: arrived } = await stat(await (await saved).path());
      if (arrived !== size) throw new Error(`${arrived} of ${size} bytes were saved`);
    }
    kept.push(print(`${sink}: sender`, sent), print(`${sink}: receiver`, received));
    console.log(`${sink}: ${(size / MB / seconds).toFixed(1)} MB/s, ${sent.length} samples`);
  });
}
console.log(`growth of renderers ${kept.every(Boolean) ? "stays within" : "EXCEEDS"} ${BOUND / MB} MB`);
process.exitCode = kept.every(Boolean) ? 0 : 1;
