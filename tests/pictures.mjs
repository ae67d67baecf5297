/** `make pictures`: takes the README's pictures of the page while it sends, from the real page, in web/docs. */

import { fileURLToPath } from "node:url";
import { startBroker } from "./broker.mjs";
import { launch, openPage } from "./browser/chromium.mjs";

const DOCS = fileURLToPath(new URL("../web/docs/", import.meta.url));
const PHONE = "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";
/** With a STUN server, the page need not say that it reaches one network only. The pictures need no answer from it. */
const ICE_SERVERS = '[{ urls = "stun:127.0.0.1:9" }]';

const broker = await startBroker({ set: { "peer.ice_servers": ICE_SERVERS } });
const browser = await launch();
try {
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) await take(colorScheme);
} finally {
  await browser.close();
  await broker.kill();
}

/** @param {"light" | "dark"} colorScheme */
async function take(colorScheme) {
  const { page } = await openPage(browser, { viewport: { width: 1_180, height: 840 }, colorScheme, reducedMotion: "reduce" });
  await page.goto(broker.url);
  await page.locator("#drop").waitFor();
  await page.evaluate(choose);
  await page.locator("#qr svg").waitFor();
  await page.locator("#share-files img").nth(1).waitFor();
  const link = await page.inputValue("#link");
  const first = await receive(link);
  await first.getByRole("checkbox", { name: "Lake weekend/the jump.mp4" }).uncheck();
  await first.click("#download");
  await page.locator("#receivers .done").waitFor();
  const second = await receive(link, PHONE);
  await second.click("#download");
  await page.waitForFunction(() => /** @type {HTMLProgressElement} */ (document.querySelector("#share-bar")).value > 0.4);
  await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
  await page.screenshot({ path: `${DOCS}page-${colorScheme}.png` });
  for (const done of [first, second, page]) await done.context().close();
}

/**
 * @param {string} link
 * @param {string} [userAgent]
 */
async function receive(link, userAgent = PHONE.replace("Linux; Android 15; K", "Macintosh; Intel Mac OS X 10_15_7").replace("Mobile ", "")) {
  const { page } = await openPage(browser, { userAgent });
  await page.goto(link);
  await page.click("#connect");
  await page.locator("#offers [role=row]").first().waitFor();
  return page;
}

/** Chooses files on the page as a person would. It runs in the page. */
async function choose() {
  const paint = async (/** @type {string} */ name, /** @type {string} */ sky, /** @type {string} */ ground) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 800, height: 600 });
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.fillStyle = sky;
    pen.fillRect(0, 0, 800, 600);
    pen.fillStyle = "#fff6d8";
    pen.arc(560, 190, 80, 0, 2 * Math.PI);
    pen.fill();
    pen.fillStyle = ground;
    pen.fillRect(0, 380, 800, 220);
    return new File([/** @type {Blob} */ (await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg")))], name, { type: "image/jpeg" });
  };
  const block = new Uint8Array(1_000_000);
  /** @type {Array<[string, File]>} */
  const files = [
    ["Lake weekend/evening.jpg", await paint("evening.jpg", "#e0894f", "#54406e")],
    ["Lake weekend/morning.jpg", await paint("morning.jpg", "#7cc0e8", "#1f6f5c")],
    ["Lake weekend/the jump.mp4", new File(Array(400).fill(block), "the jump.mp4", { type: "video/mp4" })],
    ["Lake weekend/by the fire.m4a", new File([block, block], "by the fire.m4a", { type: "audio/mp4" })],
    ["Itinerary.pdf", new File([block.subarray(0, 180_000)], "Itinerary.pdf", { type: "application/pdf" })],
  ];
  const input = /** @type {HTMLInputElement} */ (document.querySelector("#folder"));
  const value = files.map(([path, file]) => Object.defineProperty(file, "webkitRelativePath", { value: path }));
  Object.defineProperty(input, "files", { value, configurable: true });
  input.dispatchEvent(new Event("change"));
}
