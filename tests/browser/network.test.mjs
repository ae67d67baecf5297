/** A download over a network that is interrupted: stored data is kept, and the download continues by itself. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startApart } from "./two-networks.mjs";
import { connect, download, share } from "./app-steps.mjs";

const SIZE = 200_000_000;
const PIECE = 1024 * 1024;
const LONG = { timeout: 120_000 };

const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
after(() => rm(folder, { recursive: true }));
const path = join(folder, "big.bin");
const bytes = randomBytes(SIZE);
await writeFile(path, bytes);
const sha256 = (/** @type {Buffer} */ data) => createHash("sha256").update(data).digest("hex");

/**
 * Shares the file at one end and downloads it at the other.
 *
 * @param {import("node:test").TestContext} t
 */
async function begin(t) {
  const { network, broker, browserA, browserB } = await startApart(t);
  const sharer = await share(browserA, broker.url, path);
  const receiver = await connect(browserB, sharer.link);
  const saved = download(receiver.page, undefined, { timeout: 300_000 });
  saved.catch(() => {}); // handled where it is awaited
  return { network, sharer, receiver, saved };
}

/** @param {import("playwright-core").Page} page @param {RegExp} figures */
const reaches = (page, figures) => page.locator("#receive-figures", { hasText: figures }).waitFor(LONG);
const A_THIRD = /^3\d %/;

/**
 * What arrived is the file, and no piece arrived whole a second time.
 *
 * @param {Awaited<ReturnType<typeof begin>>} all
 */
async function assertWhole({ sharer, receiver, saved }) {
  assert.equal(sha256((await saved).bytes), sha256(bytes));
  await receiver.page.locator("#receive-state", { hasText: "Download complete, verified" }).waitFor();
  await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).waitFor();
  const all = Array.from({ length: Math.ceil(SIZE / PIECE) }, (_, piece) => piece);
  assert.deepEqual(wholePieces(await receiver.heard()), all);
}

/** @param {string[]} messages of the receiver's channels, in order @returns {number[]} complete pieces */
function wholePieces(heard) {
  const whole = [];
  let piece = -1;
  let due = 0;
  for (const text of heard) {
    const length = /^(\d+) bytes$/.exec(text)?.[1];
    if (length) {
      due -= Number(length);
      if (due === 0) whole.push(piece);
      continue;
    }
    const message = JSON.parse(text);
    if (message.type === "piece") [piece, due] = [message.piece, message.length];
  }
  return whole;
}

test("a cable is unplugged: both sides close the connection, and the download continues when it is plugged in again", { timeout: 300_000 }, async (t) => {
  const all = await begin(t);
  const { network, sharer, receiver } = all;
  await reaches(receiver.page, A_THIRD);
  await network.b.pullOut();
  await receiver.page.locator("#receive-state", { hasText: "Reconnecting…" }).waitFor(LONG);
  await sharer.page.locator("#receivers", { hasText: "Left at" }).waitFor(LONG);
  await network.b.plugIn();
  await assertWhole(all);
});

test("packets are dropped silently: the broker and both sides notice it, and the download continues", { timeout: 300_000 }, async (t) => {
  const all = await begin(t);
  const { network, sharer, receiver } = all;
  await reaches(receiver.page, A_THIRD);
  await network.a.lose(100);
  await sharer.page.locator("#share-state", { hasText: "Reconnecting…" }).waitFor(LONG);
  await receiver.page.locator("#receive-error", { hasText: "The sender is not online" }).waitFor(LONG);
  await network.a.loseNothing();
  await assertWhole(all);
});

test("a temporary loss of a third of all packets only costs time", { timeout: 300_000 }, async (t) => {
  const all = await begin(t);
  const { network, receiver } = all;
  await reaches(receiver.page, A_THIRD);
  const before = (await receiver.heard()).length;
  await network.b.lose(30);
  // Chromium delivers a message now and then, or none for so long that the channel counts as dead.
  await Promise.any([
    receiver.page.waitForFunction((count) => window.heardTexts.length > count, before + 10, LONG),
    receiver.page.locator("#receive-error:not(:empty)").waitFor(LONG),
  ]);
  await network.b.loseNothing();
  await assertWhole(all);
});
