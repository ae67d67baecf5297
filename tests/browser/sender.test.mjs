/** The sender's page in a real Chromium: choosing files, showing them, and reloads. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { until } from "../clients/await.mjs";
import { openPage } from "./chromium.mjs";
import { connect, download, setPassword, share } from "./app-steps.mjs";
import { underWay } from "./real-files.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
after(() => rm(folder, { recursive: true }));

/**
 * Offers files as the page itself makes them, with types that Playwright's bytes would not have.
 *
 * @param {import("playwright-core").Page} page
 * @param {Array<{name: string, type: string, text?: string, side?: number}>} files `side` makes an image of that many pixels
 */
function offer(page, files) {
  return page.evaluate(async (files) => {
    const made = files.map(async ({ name, type, text, side }) => {
      if (!side) return new File([text], name, { type });
      const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side / 2 });
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#c03020";
      pen.fillRect(0, 0, side / 2, side);
      return new File([await new Promise((resolve) => canvas.toBlob(resolve, type))], name, { type });
    });
    const input = document.querySelector("#more");
    Object.defineProperty(input, "files", { value: await Promise.all(made), configurable: true });
    input.dispatchEvent(new Event("change"));
    delete input.files;
  }, files);
}

const SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>";
const pictured = (page, list) => page.locator(`${list} [role=row]`).evaluateAll((items) => {
  return items.map((item) => [item.querySelector("bdi").textContent, item.querySelector("img")?.naturalWidth ?? 0]);
});

test("both lists show previews of images, and of no other files", async () => {
  const sharer = await share(browser, broker.url, [{ name: "notes.txt", bytes: Buffer.from("hello") }]);
  await offer(sharer.page, [
    { name: "photo.jpg", type: "image/jpeg", side: 1_200 },
    { name: "icon.png", type: "image/png", side: 32 },
    { name: "drawing.svg", type: "image/svg+xml", text: SVG },
    { name: "broken.png", type: "image/png", text: SVG },
  ]);
  const receiver = await connect(browser, sharer.link);
  for (const [{ page }, list] of /** @type {const} */ ([[sharer, "#share-files"], [receiver, "#offers"]])) {
    await page.locator(`${list} img`).nth(1).waitFor();
    assert.deepEqual(await pictured(page, list), [["notes.txt", 0], ["photo.jpg", 160], ["icon.png", 32], ["drawing.svg", 0], ["broken.png", 0]]);
  }
  await receiver.page.getByRole("checkbox", { name: "notes.txt" }).uncheck();
  assert.ok((await download(receiver.page)).bytes.length > 0);
  await receiver.page.getByText("Download complete, verified").waitFor();
  assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
});

/** Files on the disk of this test, by their path. */
async function onDisk(name, files) {
  for (const [path, bytes] of Object.entries(files)) {
    await mkdir(join(folder, name, path, ".."), { recursive: true });
    await writeFile(join(folder, name, path), bytes);
  }
  return join(folder, name);
}

/** What a hand does: files and folders of the disk are dragged over the page and let go. */
async function drop(page, paths) {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of /** @type {const} */ (["dragEnter", "dragOver", "drop"])) {
    await session.send("Input.dispatchDragEvent", { type, x: 100, y: 100, data });
  }
}

async function openSharer(prepare = () => {}) {
  const sharer = await openPage(browser);
  await sharer.page.addInitScript(prepare);
  await sharer.page.goto(broker.url);
  await sharer.page.locator("#drop").waitFor();
  return sharer;
}

/** The paths of the files in the list: their buttons name them. */
const names = (page) => page.locator("#share-files [role=row]:not([aria-expanded]) button").evaluateAll((buttons) => buttons.map((button) => button.ariaLabel.replace("Remove ", "")));

/** Waits until the tab has written down that it offers `name`: it would else not know that after a reload at once. */
async function remembered(page, name) {
  const isWritten = (name) => new Promise((resolve) => {
    const opening = indexedDB.open("handclasp");
    opening.onupgradeneeded = () => opening.transaction.abort(); // there is no database yet, and the page has to create it
    opening.onerror = () => resolve(false);
    opening.onsuccess = () => {
      const reading = opening.result.transaction("shares").objectStore("shares").getAll();
      reading.onsuccess = () => {
        opening.result.close();
        resolve(reading.result.some(({ names }) => names.includes(name)));
      };
    };
  });
  await until(() => page.evaluate(isWritten, name), `${name} written down`);
}

test("dropped files are shared again after the sender's reload, and a download continues", async () => {
  const bytes = randomBytes(40_000_000);
  const disk = await onDisk("dropped", { "big.bin": bytes, "trip/day 1/a.txt": "a", "trip/b.txt": "b" });
  const { page, complaints } = await openSharer();
  await drop(page, [join(disk, "big.bin"), join(disk, "trip")]);
  await page.locator("#share-sum", { hasText: /^3 files,/ }).waitFor();
  await page.getByRole("button", { name: "Remove trip/b.txt" }).click();
  const receiver = await connect(browser, await page.inputValue("#link"));
  await receiver.page.getByRole("checkbox", { name: "trip/day 1/a.txt" }).uncheck();
  const saved = download(receiver.page);
  await underWay(receiver.page);
  await page.reload();
  await page.locator("#share-sum", { hasText: /^2 files,/ }).waitFor();
  assert.deepEqual(await names(page), ["big.bin", "trip/day 1/a.txt"]);
  assert.ok((await saved).bytes.equals(bytes));
  await receiver.page.getByText("Download complete, verified").waitFor();
  assert.equal(await page.locator("#share-again").isVisible(), false);
  assert.deepEqual(complaints, []);
});

test("if the browser needs a permission, one button restores the files; missing ones are listed", async () => {
  const disk = await onDisk("asked", { "here.txt": "old", "gone.txt": "x" });
  const { page } = await openSharer(() => {
    const granted = new Set();
    FileSystemHandle.prototype.queryPermission = async function () {
      return granted.has(this.name) ? "granted" : "prompt";
    };
    FileSystemHandle.prototype.requestPermission = async function () {
      if (!navigator.userActivation.isActive) throw new DOMException("nobody pressed anything", "SecurityError");
      granted.add(this.name);
      return "granted";
    };
    const getFile = FileSystemFileHandle.prototype.getFile;
    FileSystemFileHandle.prototype.getFile = async function () {
      if (!granted.has(this.name)) throw new DOMException("nobody was asked", "NotAllowedError");
      return getFile.call(this);
    };
  });
  await drop(page, [join(disk, "here.txt"), join(disk, "gone.txt")]);
  await page.locator("#share-sum", { hasText: /^2 files,/ }).waitFor();
  await remembered(page, "gone.txt");
  await rm(join(disk, "gone.txt"));
  await writeFile(join(disk, "here.txt"), "new");
  await page.reload();
  await page.getByText("The browser may ask for permission to read them: here.txt, gone.txt").waitFor();
  await page.keyboard.press("Enter"); // the button has the focus
  await page.getByText("These files were not found. To share them again, choose them once more: gone.txt").waitFor();
  assert.deepEqual(await names(page), ["here.txt"]);
  assert.equal(await page.getByRole("button", { name: "Share the same files again" }).isVisible(), false);
  const receiver = await connect(browser, await page.inputValue("#link"));
  assert.equal((await download(receiver.page)).bytes.toString(), "new");
});

test("picked files are shared again after a reload; closing the picker changes nothing", async () => {
  const { page } = await openSharer(() => {
    window.tries = 0;
    window.showOpenFilePicker = async () => {
      window.tries += 1;
      if (window.tries === 1) throw new DOMException("closed", "AbortError");
      const root = await navigator.storage.getDirectory();
      const handle = await root.getFileHandle("picked.txt", { create: true });
      const writer = await handle.createWritable();
      await writer.write("hello");
      await writer.close();
      return [handle];
    };
  });
  await page.click("#drop");
  await page.waitForFunction(() => window.tries === 1);
  assert.equal(await page.locator("#share-error").isVisible(), false);
  await page.click("#drop");
  await page.locator("#share-sum", { hasText: /^1 file, 5 bytes$/ }).waitFor();
  await remembered(page, "picked.txt");
  await page.reload();
  await page.locator("#share-sum", { hasText: /^1 file, 5 bytes$/ }).waitFor();
  assert.deepEqual(await names(page), ["picked.txt"]);
});

test("guessing a password is rate-limited, and the sender is warned", async () => {
  const sharer = await share(browser, broker.url, [{ name: "a.txt", bytes: Buffer.from("hello") }]);
  await setPassword(sharer.page, "correct horse");
  const { page } = await openPage(browser);
  await page.goto(await sharer.page.inputValue("#link"));
  for (let tries = 1; tries <= 10; tries++) {
    await page.getByRole("textbox", { name: "Password" }).fill(`guess ${tries}`);
    await page.click("#connect");
    await sharer.page.locator("#refused", { hasText: tries === 1 ? "Someone with a wrong link" : `${tries} tries with a wrong link` }).waitFor();
    await page.locator("#connect:enabled").waitFor();
  }
  await page.click("#connect");
  await page.getByText("Too many wrong passwords were tried on this link").waitFor();
  await page.getByText("Reconnecting…").waitFor();
  await sharer.page.getByText("Someone may be guessing").waitFor();
  assert.equal(await sharer.page.locator("#receivers li").count(), 0);
});

test("a receiver that left is shown with the time", async () => {
  const sharer = await share(browser, broker.url, [{ name: "a.txt", bytes: Buffer.from("hello") }]);
  const receiver = await connect(browser, sharer.link);
  await receiver.page.goto("about:blank");
  await sharer.page.getByText(/^Left at \d\d?:\d\d(\s[AP]M)?, downloaded nothing$/).waitFor();
});

test("dragging files over the page highlights the drop area until they leave or are dropped", async () => {
  const { page } = await openSharer();
  const session = await page.context().newCDPSession(page);
  const disk = await onDisk("dragged", { "a.txt": "a" });
  const drag = (type) => session.send("Input.dispatchDragEvent", { type, x: 100, y: 100, data: { items: [], files: [join(disk, "a.txt")], dragOperationsMask: 1 } });
  const marked = (wanted) => page.waitForFunction((wanted) => document.body.classList.contains("dragging") === wanted, wanted);
  for (const type of ["dragEnter", "dragOver"]) await drag(type);
  await marked(true);
  await page.evaluate(() => document.body.dispatchEvent(new DragEvent("dragleave", { bubbles: true }))); // CDP's cancel fires no event on the page
  await marked(false);
  await drag("dragOver");
  await marked(true);
  await drag("drop");
  await marked(false);
  await page.locator("#share-sum", { hasText: /^1 file, 1 byte$/ }).waitFor();
});

/** What Ctrl+V brings, as Chromium hands it over. */
function paste(page, { files = [], text = "" }) {
  return page.evaluate(({ files, text }) => {
    const clipboardData = new DataTransfer();
    if (text) clipboardData.setData("text/plain", text);
    for (const name of files) clipboardData.items.add(new File([name], name, { type: "image/png" }));
    document.activeElement.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData }));
  }, { files, text });
}

test("pasted files are shared; a pasted text is shown first, and a dropped one is not taken", async () => {
  const { page, complaints } = await openSharer();
  await paste(page, { text: "just words" });
  const dialog = page.getByRole("dialog");
  // As a spreadsheet does.
  await paste(page, { files: ["behind-the-dialog.png"], text: "cells" });
  assert.equal(await dialog.getByRole("textbox").inputValue(), "just words");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  const session = await page.context().newCDPSession(page);
  const data = { items: [{ mimeType: "text/plain", data: "just words" }], dragOperationsMask: 1 };
  for (const type of /** @type {const} */ (["dragEnter", "dragOver", "drop"])) {
    await session.send("Input.dispatchDragEvent", { type, x: 100, y: 100, data });
  }
  await paste(page, { files: ["image.png"], text: "a name beside it" });
  await page.locator("#share-sum", { hasText: /^1 file, 9 bytes$/ }).waitFor();
  assert.deepEqual(await names(page), ["image.png"]);
  await page.getByText("Link settings").click();
  await page.getByRole("textbox", { name: "Password" }).focus();
  await paste(page, { text: "a password" });
  await paste(page, { files: ["cells.png"], text: "cells" });
  await paste(page, { files: ["second.png"] });
  await page.locator("#share-sum", { hasText: /^2 files,/ }).waitFor();
  assert.deepEqual(complaints, []);
});

test("a phone's share sheet gets the link; closing it is not an error", async () => {
  const sharer = await openSharer(() => {
    window.shared = [];
    navigator.share = async (what) => {
      window.shared.push(what);
      throw new DOMException("closed", "AbortError");
    };
  });
  const { page, complaints } = sharer;
  await paste(page, { files: ["a.png"] });
  await page.getByRole("button", { name: "Share…" }).click();
  await page.waitForFunction(() => window.shared.length === 1);
  assert.deepEqual(await page.evaluate(() => window.shared), [{ url: await page.inputValue("#link") }]);
  assert.deepEqual(complaints, []);
});

test("the link is copied, or selected for the keyboard if the browser refuses", async () => {
  const { page } = await openSharer(() => {
    window.copied = [];
    Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => {
      window.copied.push(text);
      if (window.copied.length === 2) throw new DOMException("no", "NotAllowedError");
    } } });
  });
  await paste(page, { files: ["a.png"] });
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByRole("button", { name: "Copied" }).click();
  await page.getByRole("button", { name: "Press Ctrl+C" }).waitFor();
  const link = await page.inputValue("#link");
  assert.deepEqual(await page.evaluate(() => window.copied), [link, link]);
  assert.equal(await page.evaluate(() => String(getSelection())), link);
});

test("a password changes the link, which has to be copied again, and is shown after a reload", async () => {
  const { page } = await share(browser, broker.url, [{ name: "a.txt", bytes: Buffer.from("a") }]);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  await setPassword(page, "correct horse");
  await page.getByRole("button", { name: "Copy" }).waitFor();
  const link = await page.inputValue("#link");
  await page.reload();
  await page.getByText("The link now needs the password").waitFor();
  assert.equal(await page.inputValue("#link"), link);
  await page.getByRole("heading", { name: "No files are shared at the moment" }).waitFor();
});

test("the page asks before it is closed only during a download", async () => {
  const sharer = await share(browser, broker.url, [{ name: "a.bin", bytes: randomBytes(45_000_000) }]);
  const isHeld = () => sharer.page.evaluate(() => !dispatchEvent(new Event("beforeunload", { cancelable: true })));
  assert.equal(await isHeld(), false);
  const { page } = await connect(browser, sharer.link);
  await page.click("#download");
  await sharer.page.locator("#receivers .downloading").waitFor();
  assert.equal(await isHeld(), true);
  await page.click("#cancel");
  await sharer.page.locator("#receivers .cancelled").waitFor();
  assert.equal(await isHeld(), false);
});
