/** The sender's page in a real Chromium: how files get in, what is shown of them, and what a reload keeps. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startBroker } from "../broker.mjs";
import { launch, openPage } from "./chromium.mjs";
import { connect, download, share } from "./sharing.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  broker = await startBroker();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await broker?.kill();
});

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
const pictured = (page, list) => page.locator(`${list} li`).evaluateAll((items) => {
  return items.map((item) => [item.querySelector("bdi").textContent, item.querySelector("img")?.naturalWidth ?? 0]);
});

test("both lists show small pictures of images, and of nothing else", async () => {
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
  await receiver.page.getByLabel("notes.txt").uncheck();
  assert.ok((await download(receiver.page)).bytes.length > 0);
  await receiver.page.getByText("both sides agree").waitFor();
  assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
});
