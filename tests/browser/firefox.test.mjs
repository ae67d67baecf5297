/** The app in a real Firefox: with Chromium on the other side, and with Firefox on both. The steps are those of the tests in Chromium. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { after, afterEach, describe, test } from "node:test";
import { unzip } from "../unzip.mjs";
import { bytesHeard, connect, download, share, tryPasswords, tryWrongKey } from "./app-steps.mjs";
import { openPage } from "./chromium.mjs";
import { launchFirefox } from "./firefox.mjs";
import { BIG, changeOnDisk, done, reaches, removeFiles, sha256, shareFromDisk, underWay, visit, withoutDisk } from "./real-files.mjs";
import { start } from "./setup.mjs";

const { broker, browser: chromium } = await start();
const firefox = await launchFirefox();
after(() => firefox.close());
after(removeFiles);
afterEach(async () => {
  for (const browser of [chromium, firefox]) await Promise.all(browser.contexts().map((context) => context.close()));
});

/** Of the one large file; `make browser-full` sends 300 MB. */
const SIZE = process.env.BROWSER_SIZES === "full" ? 300_000_000 : 30_000_000;
const formatted = (/** @type {number} */ bytes) => `${bytes / 1_000_000} MB`;

const PAIRS = /** @type {const} */ ([
  ["Chromium to Firefox", chromium, firefox],
  ["Firefox to Chromium", firefox, chromium],
  ["Firefox to Firefox", firefox, firefox],
]);

for (const [title, from, to] of PAIRS) {
  describe(title, () => {
    test("several files arrive as a ZIP archive, and both pages show it", async () => {
      const files = { "holiday.mov": randomBytes(5_000_000), "notes.txt": Buffer.from("hello"), "größe 大.bin": randomBytes(70_000) };
      const sharer = await shareFromDisk(from, broker.url, files);
      const receiver = await connect(to, sharer.link);
      const saved = await download(receiver.page);
      await done(receiver.page);
      await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).waitFor();
      const members = await unzip(saved.bytes);
      assert.deepEqual([...members.keys()].sort(), Object.keys(files).sort());
      for (const [name, bytes] of Object.entries(files)) assert.ok(members.get(name).equals(bytes), name);
      assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
    });

    test(`a download of ${formatted(SIZE)} is paused, resumed, and continued after the receiver's reload`, { timeout: 240_000 }, async () => {
      const bytes = randomBytes(SIZE);
      const sharer = await shareFromDisk(from, broker.url, { "big.bin": bytes });
      const receiver = await connect(to, sharer.link);
      const { page } = receiver;
      await page.click("#download");
      await underWay(page);
      await page.getByRole("button", { name: "Pause" }).click();
      await sharer.page.getByText(/^Paused at/).waitFor();
      await page.getByRole("button", { name: "Resume" }).click();
      await reaches(page, 30);
      const saved = await download(page, () => page.reload(), { timeout: 120_000 });
      assert.equal(sha256(saved.bytes), sha256(bytes));
      await done(page);
      const sent = await bytesHeard(receiver.heard);
      assert.ok(sent < 0.75 * SIZE, `${sent} bytes were sent after the reload`);
      assert.equal(await sharer.page.locator("#receivers li").count(), 1);
    });

    test("the link stays the same after the sender's reload, and a download continues when the file is chosen again", async () => {
      const sharer = await shareFromDisk(from, broker.url, { "big.bin": BIG });
      const receiver = await connect(to, sharer.link);
      const saved = download(receiver.page);
      await underWay(receiver.page);
      await sharer.page.reload();
      await sharer.page.getByText("The link is still the same").waitFor();
      assert.equal(await sharer.page.inputValue("#link"), sharer.link);
      await sharer.page.setInputFiles("#more", sharer.paths);
      assert.equal(sha256((await saved).bytes), sha256(BIG));
      await done(receiver.page);
    });

    test("a wrong key is refused with a message, and no file name leaks", async () => {
      await tryWrongKey(from, to, broker.url);
    });

    test("the page asks for a password, refuses a wrong one and accepts the right one", async () => {
      await tryPasswords(from, to, broker.url);
    });

    test("without room on the disk, the files go directly into a download of the browser", async () => {
      const files = { "größe 大.bin": BIG, "b.bin": BIG.subarray(0, 1_000_000) };
      const sharer = await shareFromDisk(from, broker.url, files);
      const receiver = await visit(to, sharer.link, withoutDisk);
      const saved = await download(receiver.page);
      await done(receiver.page);
      const members = await unzip(saved.bytes);
      for (const [name, bytes] of Object.entries(files)) assert.ok(members.get(name)?.equals(bytes), name);
      assert.deepEqual(receiver.complaints, []);
    });
  });
}

test("a private window of Firefox receives and sends", async (t) => {
  const hidden = await launchFirefox({ "browser.privatebrowsing.autostart": true });
  t.after(() => hidden.close());
  for (const [from, to] of [[chromium, hidden], [hidden, chromium]]) {
    const sharer = await shareFromDisk(from, broker.url, { "big.bin": BIG, "a.txt": "hello" });
    const receiver = await connect(to, sharer.link);
    const hasDisk = () => navigator.storage.getDirectory().then(() => true, () => false);
    assert.equal(await receiver.page.evaluate(hasDisk), to === chromium, "Firefox gives a private window no private disk");
    const members = await unzip((await download(receiver.page)).bytes);
    assert.ok(members.get("big.bin").equals(BIG));
    await done(receiver.page);
    assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
  }
});

test("Firefox with WebRTC switched off says so on both pages, and tries nothing", async (t) => {
  const unable = await launchFirefox({ "media.peerconnection.enabled": false });
  t.after(() => unable.close());
  const { link } = await share(chromium, broker.url, [{ name: "a.txt", bytes: Buffer.from("hello") }]);
  for (const url of [broker.url, link]) {
    const { page, complaints } = await openPage(unable);
    await page.goto(url);
    await page.getByText("This browser allows no connections to other browsers").waitFor();
    await page.getByRole("button", { name: "Reload" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Connect" }).isVisible(), false);
    assert.deepEqual(complaints, []);
  }
});

for (const [how, change] of /** @type {Array<[string, (path: string) => Promise<void>]>} */ ([
  ["replaced by another of the same size", (path) => writeFile(path, randomBytes(BIG.length))],
  ["deleted", (path) => rm(path)],
])) {
  test(`a file that is ${how} on the disk during its transfer from Firefox is never reported as arrived`, async () => {
    await changeOnDisk(firefox, chromium, broker.url, change, /1 of 2 files arrived and are verified\. Missing: big\.bin/);
  });
}
