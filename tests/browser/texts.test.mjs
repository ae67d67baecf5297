/** Texts between two pages: written, pasted, read, copied, and still there after the sender's reload. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { download, pick, share } from "./app-steps.mjs";
import { openPage, screenshot } from "./chromium.mjs";
import { inspect } from "./page-checks.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
const HOSTILE = "<img src=x onerror=\"document.title='run'\">\n\tGrüße 👋";

async function shareText(text) {
  const sharer = await openPage(browser);
  await sharer.page.goto(broker.url);
  await sharer.page.click("#write-text");
  await inspect(sharer.page, "share-text");
  await sharer.page.fill("#text", text);
  await sharer.page.getByRole("button", { name: "Share this text" }).click();
  await sharer.page.locator("#share-state:not(:empty)").waitFor();
  return { ...sharer, link: await sharer.page.inputValue("#link") };
}

async function visit(link) {
  const receiver = await openPage(browser, { permissions: ["clipboard-read", "clipboard-write"] });
  await receiver.page.goto(link);
  await receiver.page.click("#connect");
  await receiver.page.locator("#verified").waitFor();
  return receiver;
}

const texts = (page) => page.locator(".text-card pre").evaluateAll((cards) => cards.map(({ textContent }) => textContent));

test("a text is read on the other side as it is, copied with one button, and the sender sees that it has arrived", async () => {
  const sharer = await shareText(HOSTILE);
  const { page, complaints } = await visit(sharer.link);
  await page.locator(".text-card").waitFor();
  assert.deepEqual(await texts(page), [HOSTILE]);
  assert.equal(await page.locator(".text-card img").count(), 0);
  assert.equal(await page.locator("#takes").isVisible(), false);
  await page.getByRole("button", { name: "Copy the text" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), HOSTILE);
  await page.getByRole("heading", { name: "Received and verified" }).waitFor();
  await inspect(page, "receive-text");
  await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).waitFor();
  assert.deepEqual([...complaints, ...sharer.complaints], []);
});

test("a pasted text is shown before it is shared, and texts survive the sender's reload", async () => {
  const sharer = await share(browser, broker.url, [{ name: "a.txt", bytes: Buffer.from("file") }]);
  const { page } = sharer;
  for (const text of ["one", "two"]) {
    await page.evaluate((text) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", text);
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    }, text);
    assert.equal(await page.inputValue("#text"), text);
    await page.getByRole("button", { name: "Share this text" }).click();
  }
  const receiver = await visit(sharer.link);
  await receiver.page.locator(".text-card").nth(1).waitFor();
  assert.deepEqual(await texts(receiver.page), ["one", "two"]);
  // The file was not asked for yet, so the sender is told of nothing.
  await page.locator("#receivers").getByText("Verified, has not started yet").first().waitFor();
  assert.equal((await download(receiver.page)).name, "a.txt");
  await page.reload();
  await page.locator("#share-state:not(:empty)").waitFor();
  // The picker of the test gives no handle, so the page asks for the file, also after a second reload.
  await page.locator("#share-again", { hasText: "a.txt" }).waitFor();
  // A text does not stand for the file.
  await page.click("#more-text");
  await page.fill("#text", "three");
  await page.getByRole("button", { name: "Share this text" }).click();
  await page.locator("#share-sum", { hasText: /^3 files,/ }).waitFor();
  assert.equal(await page.locator("#share-again", { hasText: "a.txt" }).isVisible(), true);
  await page.reload();
  await page.locator("#share-again", { hasText: "a.txt" }).waitFor();
  const late = await visit(sharer.link);
  await late.page.locator(".text-card").nth(2).waitFor();
  assert.deepEqual(await texts(late.page), ["one", "two", "three"]);
  await pick(page, "#more", [{ name: "a.txt", bytes: Buffer.from("file") }]);
  await page.locator("#share-again").waitFor({ state: "hidden" });
});

test("a text that is too long is not shared, and the dialog says so", async () => {
  const { page } = await openPage(browser);
  await page.goto(broker.url);
  await page.click("#write-text");
  await page.fill("#text", "x".repeat(256 * 1024 + 1));
  await page.getByRole("button", { name: "Share this text" }).click();
  await page.getByText("This is longer than 256 KiB").waitFor();
  assert.equal(await page.locator("#sharing").isVisible(), false);
});

const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

/** A tenth of a second of silence. */
function silence() {
  const samples = Buffer.alloc(800, 128);
  const header = Buffer.alloc(44);
  header.write("RIFF");
  header.writeUInt32LE(36 + samples.length, 4);
  header.write("WAVEfmt ", 8);
  // PCM, one channel, 8,000 samples and bytes a second, one byte of 8 bits each
  for (const [offset, value] of [[16, 16], [24, 8_000], [28, 8_000], [40, samples.length]]) header.writeUInt32LE(value, offset);
  for (const [offset, value] of [[20, 1], [22, 1], [32, 1], [34, 8]]) header.writeUInt16LE(value, offset);
  header.write("data", 36);
  return Buffer.concat([header, samples]);
}

test("a picture and a sound are opened in a tab of their own, a page of the sender is not, and something can be sent back", async () => {
  const isShown = () => document.images[0]?.naturalWidth === 1 || (document.querySelector("video")?.readyState ?? 0) > 0;
  for (const [name, bytes, type] of /** @type {const} */ ([
    ["dot.png", PIXEL, "image/png"],
    ["silence.wav", silence(), "audio/wav"],
    ["page.html", Buffer.from("<script>1</script>"), null],
  ])) {
    const sharer = await share(browser, broker.url, [{ name, bytes }]);
    const { page, complaints } = await visit(sharer.link);
    await download(page);
    await page.getByRole("heading", { name: "Received and verified" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Open" }).isVisible(), type !== null);
    assert.equal(await page.getByRole("link", { name: "Send something back" }).getAttribute("href"), "./");
    if (type !== null) {
      const tab = page.context().waitForEvent("page");
      await page.getByRole("link", { name: "Open" }).click();
      const opened = await tab;
      await opened.waitForFunction(isShown);
      assert.deepEqual(await opened.evaluate(() => [document.contentType, opener]), [type, null]);
    }
    assert.deepEqual(complaints, []);
  }
});

/** One empty page. */
const PDF = Buffer.from(`%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R>>
%%EOF
`);

test("a PDF is opened in the browser's viewer, and not offered by a browser that has none", async () => {
  const sharer = await share(browser, broker.url, [{ name: "plan.pdf", bytes: PDF }]);
  const receivePdf = async (/** @type {import("playwright-core").Page} */ page) => {
    await page.goto(sharer.link);
    await page.click("#connect");
    assert.ok((await download(page)).bytes.equals(PDF));
    await page.getByRole("heading", { name: "Received and verified" }).waitFor();
    return page.getByRole("link", { name: "Open" });
  };
  const { page, complaints } = await openPage(browser);
  const open = await receivePdf(page);
  const hasViewer = await page.evaluate(() => navigator.pdfViewerEnabled);
  assert.equal(await open.isVisible(), hasViewer);
  if (hasViewer) {
    const tab = page.context().waitForEvent("page");
    await open.click();
    const opened = await tab;
    await opened.waitForFunction(() => document.contentType === "application/pdf");
    // Chromium's viewer is an extension in a frame of the tab, and the file is in a frame of the viewer.
    const isFile = (/** @type {import("playwright-core").Frame} */ frame) => frame !== opened.mainFrame() && frame.url() === opened.url();
    if (!opened.frames().some(isFile)) await opened.waitForEvent("framenavigated", isFile);
    await screenshot(opened, "receive-pdf");
  }
  const without = await openPage(browser);
  await without.page.addInitScript(() => Object.defineProperty(navigator, "pdfViewerEnabled", { value: false }));
  assert.equal(await (await receivePdf(without.page)).isVisible(), false);
  assert.deepEqual([...complaints, ...without.complaints], []);
});

test("a file that is dropped while a text is written is not shared behind the dialog, which says what to do", async () => {
  const { page, complaints } = await openPage(browser);
  await page.goto(broker.url);
  await page.click("#write-text");
  await page.fill("#text", "a draft");
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "dropped.txt"), "x");
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: [join(folder, "dropped.txt")], dragOperationsMask: 1 };
  const drag = async (/** @type {Array<"dragEnter" | "dragOver" | "drop">} */ ...types) => {
    for (const type of types) await session.send("Input.dispatchDragEvent", { type, x: 200, y: 300, data });
  };
  await drag("dragEnter", "dragOver");
  await page.getByRole("dialog").getByText("Share or cancel this text first, then drop the files.").waitFor();
  assert.equal(await page.evaluate(() => document.body.classList.contains("dragging")), false);
  await drag("drop");
  assert.equal(await page.inputValue("#text"), "a draft");
  await page.getByRole("button", { name: "Share this text" }).click();
  await page.locator("#share-sum", { hasText: /^1 file, 7 bytes$/ }).waitFor();
  await drag("dragEnter", "dragOver", "drop");
  await page.locator("#share-sum", { hasText: /^2 files, 8 bytes$/ }).waitFor();
  assert.deepEqual(complaints, []);
});
