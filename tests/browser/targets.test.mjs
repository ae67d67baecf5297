/** The targets of downloads in a real Chromium: OPFS, and files and folders that the user picks. An incomplete file never looks complete. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { unzip } from "../unzip.mjs";
import { BIG, connectOnPage, done, reaches, removeFiles, sha256, shareFromDisk, underWay, visit } from "./real-files.mjs";
import { bytesHeard } from "./app-steps.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
after(removeFiles);

/** Headless browsers have no pickers; the private file system has the same interface. */
function stubPickers() {
  window.showSaveFilePicker = async ({ suggestedName }) => {
    const root = await navigator.storage.getDirectory();
    return root.getFileHandle(suggestedName, { create: true });
  };
  window.showDirectoryPicker = async () => (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
}

/** The size and hash of a file that the stubs have stored, or null. */
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

test("a file is saved where the user picks, across a lost connection too, and exists only when it is complete", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG, "other.bin": "other" });
  const { page, complaints } = await visit(browser, sharer.link, stubPickers);
  const saveAs = page.getByRole("button", { name: "Save as" });
  assert.equal(await saveAs.isVisible(), false, "two files do not fit into one");
  await page.getByRole("checkbox", { name: "other.bin" }).uncheck();
  await saveAs.click();
  await underWay(page);
  await sharer.page.evaluate(() => window.peerConnections.forEach((connection) => connection.close()));
  await page.getByText("Reconnecting…").waitFor();
  assert.equal((await standing(page, "big.bin"))?.size, 0);
  await done(page);
  assert.equal((await standing(page, "big.bin"))?.sha256, sha256(BIG));
  assert.deepEqual(complaints, []);
});

test("a cancelled download to a picked file leaves no file", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page } = await visit(browser, sharer.link, stubPickers);
  await page.getByRole("button", { name: "Save as" }).click();
  await underWay(page);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Cancelled. Partial data deleted.").waitFor();
  for (let tries = 0; tries < 100 && (await standing(page, "big.bin")) !== null; tries++) await page.evaluate(() => new Promise(requestAnimationFrame));
  assert.equal(await standing(page, "big.bin"), null);
  await page.getByRole("button", { name: "Save as" }).waitFor();
});

test("after a reload the picked place is forgotten, and the page says so instead of saving elsewhere", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page } = await visit(browser, sharer.link, stubPickers);
  await page.getByRole("button", { name: "Save as" }).click();
  await underWay(page);
  await page.reload();
  await page.getByText("a browser forgets such places").waitFor();
  assert.equal((await standing(page, "big.bin"))?.size, 0);
  await page.getByRole("button", { name: "Save as" }).click();
  await done(page);
  assert.equal((await standing(page, "big.bin"))?.sha256, sha256(BIG));
});

test("a full disk during a download to a picked file is reported, and a retry works when it has room", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page } = await visit(browser, sharer.link, stubPickers);
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

test("closing a picker changes nothing, a refused picker is reported", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "a.bin": "a" });
  const { page } = await visit(browser, sharer.link, () => {
    window.showSaveFilePicker = () => Promise.reject(new DOMException("closed", "AbortError"));
    window.showDirectoryPicker = () => Promise.reject(new DOMException("not here", "SecurityError"));
  });
  await page.getByRole("button", { name: "Save as" }).click();
  await page.locator("#download-file:enabled").waitFor();
  assert.equal(await page.locator("#receive-error").isVisible(), false);
  await page.getByRole("button", { name: "Save to a folder" }).click();
  await page.getByText("The place that you picked could not be written to").waitFor();
});

test("a full disk during a download is reported, and received data is kept until there is room", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page, heard } = await visit(browser, sharer.link);
  const session = await page.context().newCDPSession(page);
  const origin = new URL(broker.url).origin;
  await page.click("#download");
  await reaches(page, 30);
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1_000 });
  await page.getByText("This browser could not store the file: the disk may be full").waitFor();
  await sharer.page.getByText(/^Failed at/).waitFor();
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  const sent = await bytesHeard(heard);
  const saved = page.waitForEvent("download");
  await page.click("#download");
  await done(page);
  assert.equal(sha256(await readFile(await (await saved).path())), sha256(BIG));
  const more = (await bytesHeard(heard)) - sent;
  assert.ok(more < 0.8 * BIG.length, `${more} bytes were sent again`);
});

test("hundreds of small files arrive in one archive, and after a reload they are not sent again", async () => {
  const small = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`small/${at}.bin`, randomBytes(at)]));
  const sharer = await shareFromDisk(browser, broker.url, { ...small, "big.bin": BIG });
  const { page, heard } = await visit(browser, sharer.link);
  await page.click("#download");
  await reaches(page, 10);
  const saved = page.waitForEvent("download", { timeout: 60_000 });
  await page.reload();
  const files = await unzip(await readFile(await (await saved).path()));
  const batches = (await heard()).filter((text) => text.startsWith("{")).map((text) => JSON.parse(text)).filter(({ type }) => type === "batch");
  assert.deepEqual(batches.map(({ files }) => files.filter(({ same }) => same).length), [256, 44]);
  const found = new Map(Array.from(files, ([path, bytes]) => [path.split("/").slice(1).join("/"), bytes]));
  for (const [path, bytes] of Object.entries({ ...small, "big.bin": BIG })) assert.ok(found.get(path)?.equals(bytes), path);
  assert.equal(found.size, 301);
});

test("two tabs do not write the same file: the second reports it, and continues when the first is closed", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const first = await visit(browser, sharer.link);
  await first.page.click("#download");
  await underWay(first.page);
  await first.page.click("#pause");
  await first.page.getByText(/^Paused at/).waitFor();
  const second = await first.page.context().newPage();
  await second.goto(sharer.link);
  await connectOnPage(second);
  await second.click("#download");
  await second.getByText("Another tab of this browser is downloading the same file").waitFor();
  await first.page.getByText(/^Paused at/).waitFor();
  await first.page.close();
  const saved = second.waitForEvent("download");
  await second.click("#download");
  await done(second);
  assert.equal(sha256(await readFile(await (await saved).path())), sha256(BIG));
});

test("folders are kept in the picked folder, next to existing files", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "day 1/a.jpg": "new a", "day 1/deep/b.txt": "new b", "c.txt": "new c" });
  const { page } = await visit(browser, sharer.link, stubPickers);
  const [{ root }] = await page.locator("#offers bdi").evaluateAll((names) => names.map((name) => ({ root: name.textContent.split("/")[0] })));
  await page.evaluate(async (name) => {
    const day = await (await (await window.showDirectoryPicker()).getDirectoryHandle(name, { create: true })).getDirectoryHandle("day 1", { create: true });
    const stream = await (await day.getFileHandle("A.jpg", { create: true })).createWritable();
    await stream.write("old");
    await stream.close();
  }, root);
  await page.getByRole("button", { name: "Save to a folder" }).click();
  await done(page);
  const found = await page.evaluate(async () => {
    const walk = async (folder, path) => {
      const files = [];
      for await (const [name, handle] of folder) {
        if (handle.kind === "directory") files.push(...(await walk(handle, `${path}${name}/`)));
        else files.push([path + name, await (await handle.getFile()).text()]);
      }
      return files;
    };
    return walk(await window.showDirectoryPicker(), "");
  });
  const expected = [
    ["c.txt", "new c"],
    ["day 1/A.jpg", "old"],
    ["day 1/a (2).jpg", "new a"],
    ["day 1/deep/b.txt", "new b"],
  ];
  assert.deepEqual(found.sort(), expected.map(([path, text]) => [`${root}/${path}`, text]).sort());
});
