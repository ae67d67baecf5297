/** A real Chromium for the tests, and the errors on its pages. */

import { mkdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { TLS_FOLDER } from "../broker.mjs";
import { certificateFiles, publicKeyHash } from "../certificate.mjs";

const SCREENSHOTS = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];

/** Chromium does not know the tests' certificate, and accepts it by its key. */
const TRUST = TLS_FOLDER === undefined
  ? []
  : [`--ignore-certificate-errors-spki-list=${publicKeyHash(await readFile(certificateFiles(TLS_FOLDER).cert))}`];

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/**
 * @param {string[]} [flags] besides the usual ones
 * @param {string} [executablePath] a program that starts it
 * @returns {Promise<import("playwright-core").Browser>}
 */
export function launch(flags = [], executablePath = CHROMIUM) {
  return chromium.launch({ executablePath, args: [...FLAGS, ...TRUST, ...flags] });
}

/**
 * One that keeps its files on the disk: in the usual contexts, which are private windows, even
 * the private file system lies in memory.
 *
 * @param {string} folder for its profile
 * @returns {Promise<import("playwright-core").BrowserContext>}
 */
export function launchOnDisk(folder) {
  return chromium.launchPersistentContext(folder, { executablePath: CHROMIUM, args: FLAGS, acceptDownloads: true });
}

/** What Chromium says of the page's font when a busy machine shows it later than Chromium expects. */
const LATE_FONT = /figtree\S* was preloaded using link preload but not used/;

/**
 * A page in a context of its own, with everything that its console and its security
 * policy complained about, and everything that its data channels received: texts, and the length of bytes.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  context.setDefaultTimeout?.(60_000); // a machine that runs other tests beside is slow; Firefox waits as long anyway
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    if (["error", "warning"].includes(message.type()) && !LATE_FONT.test(text)) complaints.push(`${message.type()}: ${text}`);
  });
  await page.addInitScript(recordDataChannels);
  return { page, complaints, heard: () => page.evaluate(() => window.heardTexts) };
}

/** Runs in the page, before its own scripts. */
function recordDataChannels() {
  window.heardTexts = [];
  window.peerConnections = [];
  if (!("RTCPeerConnection" in window)) return;
  const create = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...args) {
    window.peerConnections.push(this);
    const channel = create.apply(this, args);
    channel.addEventListener("message", ({ data }) => {
      window.heardTexts.push(typeof data === "string" ? data : `${data.byteLength} bytes`);
    });
    return channel;
  };
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} name of the file, without its extension
 */
export async function screenshot(page, name) {
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png`, fullPage: true });
}
