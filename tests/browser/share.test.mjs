/** The app in a real Chromium: a file goes from one page to another, or it is said why not. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { startBroker } from "../broker.mjs";
import { launch, openPage, screenshot } from "./chromium.mjs";

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

/** @param {{name?: string, bytes?: Buffer}} [file] */
async function share({ name = "secret plan.bin", bytes = randomBytes(100_000) } = {}) {
  const sharer = await openPage(browser);
  await sharer.page.goto(broker.url);
  await sharer.page.setInputFiles("#file", { name, mimeType: "application/octet-stream", buffer: bytes });
  await sharer.page.getByText("Ready. The link works").waitFor();
  return { ...sharer, bytes, link: await sharer.page.inputValue("#link") };
}

/** @param {string} link */
async function visit(link) {
  const receiver = await openPage(browser);
  await receiver.page.goto(link);
  return receiver;
}

/** @param {import("playwright-core").Page} page */
async function download(page) {
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download" }).click();
  await page.getByText("both sides agree on the hash").waitFor();
  const file = await saved;
  return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
}

for (const [title, size] of /** @type {Array<[string, number]>} */ ([
  ["20 MB", 20_000_000],
  ["0 bytes", 0],
])) {
  test(`a file of ${title} arrives whole, and both pages show its hash`, async () => {
    const bytes = randomBytes(size);
    const sharer = await share({ name: "holiday.mov", bytes });
    const receiver = await visit(sharer.link);
    await receiver.page.getByRole("button", { name: "Connect" }).click();
    await receiver.page.getByText("Verified", { exact: true }).waitFor();
    const file = await download(receiver.page);

    assert.equal(file.name, "holiday.mov");
    assert.ok(file.bytes.equals(bytes), "the bytes that were saved differ from those shared");
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    assert.equal(await receiver.page.textContent("#receive-hash"), sha256);
    assert.equal(await sharer.page.textContent("#share-hash"), sha256);
    await sharer.page.getByText("Has the whole file, hashes agree", { exact: true }).waitFor();
    assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
  });
}

test("nobody is contacted before Connect is pressed", async () => {
  const { link } = await share();
  const visitor = await openPage(browser);
  /** @type {string[]} */
  const sockets = [];
  visitor.page.on("websocket", (socket) => sockets.push(socket.url()));
  await visitor.page.addInitScript(() => {
    window.RTCPeerConnection = class {
      constructor() {
        throw new Error("asked for ICE before Connect");
      }
    };
  });
  await visitor.page.goto(link);
  await visitor.page.getByRole("button", { name: "Connect" }).waitFor();
  await visitor.page.waitForLoadState("networkidle");
  assert.deepEqual([sockets, visitor.complaints], [[], []]);
});

test("a link with a wrong key is refused in plain words and no file name leaks", async () => {
  const sharer = await share({ name: "secret plan.bin" });
  const wrongKey = randomBytes(16).toString("base64url");
  const receiver = await visit(sharer.link.replace(/#k=.*/, `#k=${wrongKey}`));
  await receiver.page.getByRole("button", { name: "Connect" }).click();
  await receiver.page.getByText("This link’s key does not fit").waitFor();
  await sharer.page.getByText("Turned away: its link has another key", { exact: true }).waitFor();

  const heard = await receiver.heard();
  assert.deepEqual(heard.map((text) => JSON.parse(text).type), ["hello", "refused"]);
  assert.doesNotMatch(heard.join() + (await receiver.page.content()), /secret/);
  assert.deepEqual(receiver.complaints, []);
});

test("a link without its key is refused before anybody is called", async () => {
  const { link } = await share();
  const receiver = await visit(link.replace(/#.*/, ""));
  await receiver.page.getByText("the key after the # is missing").waitFor();
  assert.equal(await receiver.page.getByRole("button", { name: "Connect" }).isVisible(), false);
});

test("a sender that closes its tab is noticed at once", async () => {
  const sharer = await share();
  const receiver = await visit(sharer.link);
  await receiver.page.getByRole("button", { name: "Connect" }).click();
  await receiver.page.getByRole("button", { name: "Download" }).waitFor();
  await sharer.page.close();
  await receiver.page.getByText("The connection to the sender has ended").waitFor({ timeout: 3_000 });
  assert.deepEqual(receiver.complaints, []);
});

test("a sender that closes its tab amid a download is noticed at once", async () => {
  const sharer = await share({ bytes: randomBytes(30_000_000) });
  const receiver = await visit(sharer.link);
  await receiver.page.getByRole("button", { name: "Connect" }).click();
  await receiver.page.getByRole("button", { name: "Download" }).click();
  await receiver.page.getByText(/^[1-9]\d? % · /).waitFor();
  await sharer.page.close();
  await receiver.page.getByText("The file did not arrive whole").waitFor({ timeout: 3_000 });
  assert.equal(await receiver.page.getByText("Done:").isVisible(), false);
});

test("an absent sender is said to be offline", async () => {
  const sharer = await share();
  const receiver = await visit(sharer.link);
  await receiver.page.getByRole("button", { name: "Connect" }).click();
  await receiver.page.getByRole("button", { name: "Download" }).waitFor();
  await sharer.page.getByRole("button", { name: "Stop sharing" }).click();
  await receiver.page.getByText("The connection to the sender has ended").waitFor();
  await receiver.page.getByRole("button", { name: "Try again" }).click();
  await receiver.page.getByText("The sender is not there").waitFor();
});

test("the sender's connection to the broker may break and come back", async () => {
  const own = await startBroker();
  const sharer = await openPage(browser);
  await sharer.page.goto(own.url);
  await sharer.page.setInputFiles("#file", { name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
  await sharer.page.getByText("Ready. The link works").waitFor();
  await own.kill();
  await sharer.page.getByText("The server cannot be reached just now").waitFor();
  const again = await startBroker({ port: own.port });
  await sharer.page.getByText("Ready. The link works").waitFor();
  const receiver = await visit(await sharer.page.inputValue("#link"));
  await receiver.page.getByRole("button", { name: "Connect" }).click();
  assert.equal((await download(receiver.page)).bytes.toString(), "hello");
  await again.kill();
});

const LOOKS = /** @type {const} */ ([
  ["phone-light", { viewport: { width: 390, height: 844 }, colorScheme: "light", deviceScaleFactor: 2 }],
  ["phone-dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark", deviceScaleFactor: 2 }],
  ["desktop-light", { viewport: { width: 1280, height: 860 }, colorScheme: "light" }],
  ["desktop-dark", { viewport: { width: 1280, height: 860 }, colorScheme: "dark" }],
]);

for (const [look, options] of LOOKS) {
  test(`the main states can be looked at: ${look}`, async () => {
    const bytes = randomBytes(12_000_000);
    const sharer = await openPage(browser, options);
    await sharer.page.goto(broker.url);
    await screenshot(sharer.page, `share-choose-${look}`);
    const file = { name: "Quarterly report, final version.pdf", mimeType: "application/pdf", buffer: bytes };
    await sharer.page.setInputFiles("#file", file);
    await sharer.page.getByText("Ready. The link works").waitFor();
    const link = await sharer.page.inputValue("#link");

    const wrong = await openPage(browser, options);
    await wrong.page.goto(link.replace(/#k=.*/, "#k=AAAAAAAAAAAAAAAAAAAAAA"));
    await wrong.page.getByRole("button", { name: "Connect" }).click();
    await wrong.page.getByText("This link’s key does not fit").waitFor();
    await screenshot(wrong.page, `receive-refused-${look}`);

    const receiver = await openPage(browser, options);
    await receiver.page.goto(link);
    await screenshot(receiver.page, `receive-connect-${look}`);
    await receiver.page.getByRole("button", { name: "Connect" }).click();
    await receiver.page.getByRole("button", { name: "Download" }).waitFor();
    await screenshot(receiver.page, `receive-verified-${look}`);
    await receiver.page.getByRole("button", { name: "Download" }).click();
    await receiver.page.getByText(/^[1-9]\d? % · /).waitFor();
    await screenshot(receiver.page, `receive-progress-${look}`);
    await receiver.page.getByText("both sides agree on the hash").waitFor();
    await screenshot(receiver.page, `receive-done-${look}`);
    await sharer.page.getByText("Has the whole file, hashes agree", { exact: true }).waitFor();
    await screenshot(sharer.page, `share-receivers-${look}`);

    for (const { page } of [sharer, receiver, wrong]) {
      const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= room, `page is ${wide} px wide on a screen of ${room}`);
    }
  });
}
