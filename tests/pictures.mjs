/**
 * `make pictures`: takes pictures of the real page. Those of the README, while it sends, are in web/docs. The one that
 * messengers show beside a link is web/preview.png: the page before files are chosen, so it has no link.
 */

import { fileURLToPath } from "node:url";
import { startBroker } from "./broker.mjs";
import { launch, openPage } from "./browser/chromium.mjs";

const WEB = fileURLToPath(new URL("../web/", import.meta.url));
const PHONE = "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";
/** With a STUN server, the page need not say that it reaches one network only. The pictures need no answer from it. */
const ICE_SERVERS = '[{ urls = "stun:127.0.0.1:9" }]';

const broker = await startBroker({ set: { "peer.ice_servers": ICE_SERVERS } });
const browser = await launch();
try {
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) await take(colorScheme);
  await takePreview();
} finally {
  await browser.close();
  await broker.kill();
}

/** @param {"light" | "dark"} colorScheme */
async function take(colorScheme) {
  const { page } = await openPage(browser, { viewport: { width: 1_180, height: 906 }, colorScheme, reducedMotion: "reduce" });
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
  await page.screenshot({ path: `${WEB}docs/page-${colorScheme}.png` });
  for (const done of [first, second, page]) await done.context().close();
}

/** The page's own look, with the two sides connected. All is larger, because messengers show the picture small. */
async function takePreview() {
  const { page } = await openPage(browser, { viewport: { width: 1_200, height: 630 }, colorScheme: "light", reducedMotion: "reduce", bypassCSP: true });
  await page.goto(broker.url);
  await page.locator("#drop").waitFor();
  await page.addStyleTag({
    content: `
      html { font-size: 150%; }
      header { padding: 2rem 2.5rem 0; max-width: none; }
      .brand { font-size: 1.5rem; }
      .brand img { width: 2.25rem; height: 2.25rem; border-radius: 11px; }
      #header-end, #drop, #pick > p, footer { display: none; }
      main, #pick { padding-bottom: 1rem; }
      #pick h1 { margin-top: 1rem; font-size: 2.5rem; }
      .stage { margin-block: 2rem; }
      .stage .clasp .half { transform: none !important; }
      .stage .clasp svg { stroke-width: 2; }
      .stage .clasp circle { r: 5.6px; }
      .marks { margin: 0; color: var(--ink); font-size: 1.125rem; }
      .marks svg { width: 1.5rem; height: 1.5rem; }
    `,
  });
  await page.evaluate(() => {
    /** @type {HTMLElement} */ (document.querySelector("#share-title")).textContent = "Files, straight from one browser to another";
    /** @type {HTMLElement} */ (document.querySelector("#landing-clasp")).dataset.state = "connected";
  });
  await page.screenshot({ path: `${WEB}preview.png` });
  await page.context().close();
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
