/** The app with the keyboard, with a screen reader, on a phone, in each language, and its download size. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { openPage, screenshot } from "./chromium.mjs";
import { inspect } from "./page-checks.mjs";
import { connect, share } from "./app-steps.mjs";
import { underWay } from "./real-files.mjs";
import { start } from "./setup.mjs";

const FIRST_LOAD = 60_000;

const { broker, browser } = await start();

const FILES = [
  { name: "Quarterly report, final version.pdf", bytes: randomBytes(30_000_000) },
  { name: "a name that is much longer than any phone is wide, since people do call their files like that.txt", bytes: randomBytes(10) },
];

const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 };
const NARROW = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true };
const DESK = { viewport: { width: 1280, height: 860 } };
const LOOKS = /** @type {const} */ ([
  ["phone-light", { ...PHONE, colorScheme: "light" }],
  ["phone-dark", { ...PHONE, colorScheme: "dark", reducedMotion: "reduce" }],
  ["desktop-light", { ...DESK, colorScheme: "light" }],
  ["desktop-dark", { ...DESK, colorScheme: "dark" }],
  ["phone-ja", { ...PHONE, locale: "ja-JP" }],
  ["phone-zh", { ...PHONE, locale: "zh-CN" }],
  ["narrow", NARROW],
  ["narrow-de", { ...NARROW, locale: "de-DE" }],
  ["narrow-zh-Hant", { ...NARROW, locale: "zh-TW" }],
  ["tablet", { viewport: { width: 768, height: 1024 } }],
  ["wide-dark", { viewport: { width: 2560, height: 1440 }, colorScheme: "dark" }],
]);

for (const [look, options] of LOOKS) {
  test(`screenshots of the main states, in which axe-core finds no problem: ${look}`, async () => {
    const empty = await openPage(browser, options);
    await empty.page.goto(broker.url);
    await empty.page.locator("#drop").waitFor();
    await inspect(empty.page, `share-choose-${look}`);
    const sharer = await share(browser, broker.url, FILES, options);
    await inspect(sharer.page, `share-link-${look}`);
    const wrong = await openPage(browser, options);
    await wrong.page.goto(sharer.link.replace(/#k=.*/, "#k=AAAAAAAAAAAAAAAAAAAAAA&p=1"));
    await wrong.page.locator("#connect").waitFor();
    await inspect(wrong.page, `receive-password-${look}`);
    await wrong.page.click("#connect");
    await wrong.page.locator("#receive-error:not(:empty)").waitFor();
    await inspect(wrong.page, `receive-refused-${look}`);
    const receiver = await connect(browser, sharer.link, options);
    await inspect(receiver.page, `receive-verified-${look}`);
    await receiver.page.click("#download");
    await underWay(receiver.page);
    await receiver.page.click("#pause");
    await inspect(receiver.page, `receive-paused-${look}`);
    await inspect(sharer.page, `share-receivers-${look}`);
    await receiver.page.click("#pause");
    await receiver.page.locator("#save").waitFor();
    await inspect(receiver.page, `receive-done-${look}`);
  });
}

for (const [locale, lang, connectWord, doneWord] of [
  ["en-GB", "en", "Connect", "Download complete, verified: 5 bytes"],
  ["ja-JP", "ja", "接続する", "ダウンロード完了、確認済み：5 バイト"],
  ["zh-CN", "zh-Hans", "连接", "下载完成，已验证：5字节"],
  ["sr-RS", "en", "Connect", "Download complete, verified: 5 bytes"],
]) {
  test(`a browser with the locale ${locale} gets the language ${lang}`, async () => {
    const sharer = await share(browser, broker.url, [{ name: "a.txt", bytes: Buffer.from("hello") }], { locale });
    await screenshot(sharer.page, `share-language-${locale}`);
    const { page } = await openPage(browser, { locale });
    await page.goto(sharer.link);
    await page.locator("#connect").waitFor(); // with the texts of the language
    assert.equal(await page.getAttribute("html", "lang"), lang);
    await page.getByRole("button", { name: connectWord, exact: true }).click();
    await page.click("#download");
    await page.getByText(doneWord).waitFor();
    await screenshot(page, `receive-language-${locale}`);
    assert.doesNotMatch(await page.innerText("body"), /undefined|\{\d\}/);
  });
}

test("everything works with the keyboard alone", async () => {
  const sharer = await openPage(browser);
  const { page } = sharer;
  await page.addInitScript(() => delete window.showOpenFilePicker); // a driver can only answer the other one
  await page.goto(broker.url);
  await page.locator("#drop").waitFor();
  const chooser = page.waitForEvent("filechooser");
  await tabTo(page, "file");
  await page.keyboard.press("Space");
  await (await chooser).setFiles({ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
  await page.locator("#share-state:not(:empty)").waitFor();
  assert.equal(await focus(page), "copy");
  const receiver = await openPage(browser);
  await receiver.page.goto(await page.inputValue("#link"));
  await receiver.page.locator("#connect").waitFor();
  await tabTo(receiver.page, "connect");
  await receiver.page.keyboard.press("Enter");
  await receiver.page.locator("#offers [role=row]").waitFor();
  await tabTo(receiver.page, "download");
  await receiver.page.keyboard.press("Enter");
  await receiver.page.getByText("Download complete, verified").waitFor();
  await tabTo(page, "stop");
  await page.keyboard.press("Enter");
  await page.locator("#drop").waitFor();
});

const focus = (page) => page.evaluate(() => document.activeElement.id);

async function tabTo(page, id) {
  for (let presses = 0; presses < 30; presses++) {
    if ((await focus(page)) === id) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`the keyboard does not get to ${id}`);
}

test("a language that is chosen in the header stays after a reload, and goes before files are chosen", async () => {
  const { page } = await openPage(browser);
  await page.goto(broker.url);
  const names = page.getByRole("combobox", { name: "Language" });
  assert.equal(await names.locator("option").count(), 9);
  assert.equal(await names.inputValue(), "en");
  await names.selectOption({ label: "Deutsch" });
  await page.getByRole("heading", { name: "Dateien direkt an jemanden senden" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Dateien direkt an jemanden senden" }).waitFor();
  assert.equal(await page.getAttribute("html", "lang"), "de");
  assert.equal(await page.getByRole("combobox", { name: "Sprache" }).inputValue(), "de");
  await page.setInputFiles("#file", { name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
  await page.locator("#share-state:not(:empty)").waitFor();
  assert.equal(await page.getByRole("combobox").count(), 0);
  const receiver = await page.context().newPage();
  await receiver.goto(await page.inputValue("#link"));
  await receiver.getByRole("combobox", { name: "Sprache" }).waitFor();
  await receiver.getByRole("button", { name: "Verbinden", exact: true }).click();
  await receiver.locator("#offers [role=row]").waitFor();
  assert.equal(await receiver.getByRole("combobox").count(), 0);
});

test("a browser that keeps nothing opens the page in its own language, without the list", async () => {
  const { page } = await openPage(browser, { locale: "fr-CA" });
  await page.addInitScript(() => {
    Object.defineProperty(window, "localStorage", { get: () => { throw new DOMException("refused", "SecurityError"); } });
  });
  await page.goto(broker.url);
  await page.getByRole("heading", { name: "Envoyez des fichiers directement à quelqu’un" }).waitFor();
  assert.equal(await page.getByRole("combobox").count(), 0);
});

test("the title and the icon show the progress, and the screen stays on", async () => {
  const sharer = await share(browser, broker.url, FILES.slice(0, 1));
  const receiver = await openPage(browser);
  await receiver.page.addInitScript(() => {
    window.locks = [];
    Object.defineProperty(navigator, "wakeLock", {
      value: {
        request: async (type) => {
          window.locks.push(`${type} on`);
          return Object.assign(new EventTarget(), { release: async () => void window.locks.push("off") });
        },
      },
    });
  });
  await receiver.page.goto(sharer.link);
  await receiver.page.click("#connect");
  await receiver.page.click("#download");
  await receiver.page.waitForFunction(() => /^[1-9]\d? % · /.test(document.title));
  assert.match(await receiver.page.getAttribute("#icon", "href"), /^data:image\/png/);
  await receiver.page.getByText("Download complete, verified").waitFor();
  assert.equal(await receiver.page.title(), "Handclasp: receive files");
  assert.equal(await receiver.page.getAttribute("#icon", "href"), "icon.svg");
  assert.deepEqual(await receiver.page.evaluate(() => window.locks), ["screen on", "off"]);
});

for (const [locale, path] of [["en", ""], ["ja", ""], ["zh", ""], ["en", "?peer_id=79ea407f-8a68-8900-b2d1-3e186ef3ce57#k=6xM6EfilG9Dw1dtx2E6hgA"]]) {
  test(`the first load is under 60 kB and from one host: ${locale} ${path ? "receive" : "share"}`, async () => {
    const { page } = await openPage(browser, { locale });
    /** @type {Promise<number>[]} */
    const sizes = [];
    const hosts = new Set();
    page.on("requestfinished", (request) => {
      hosts.add(new URL(request.url()).host);
      sizes.push(request.sizes().then(({ responseBodySize }) => responseBodySize));
    });
    await page.goto(broker.url + path);
    await page.locator(path ? "#connect" : "#drop").waitFor();
    await page.waitForLoadState("networkidle");
    const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
    assert.deepEqual([...hosts], [new URL(broker.url).host]);
    assert.ok(bytes > 10_000 && bytes < FIRST_LOAD, `${bytes} bytes`);
    console.log(`first load (${locale}${path && ", receive"}): ${bytes} bytes, gzip`);
  });
}

test("the app can be installed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  // Chromium installs nothing from a window that forgets everything.
  const context = await chromium.launchPersistentContext(folder, { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await context.newPage();
    await page.goto(broker.url);
    const session = await context.newCDPSession(page);
    const { errors, data } = await session.send("Page.getAppManifest");
    assert.deepEqual(errors, []);
    const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
    assert.deepEqual(installabilityErrors, []);
    for (const { src, sizes, type } of JSON.parse(data).icons) {
      const [width, shown] = await page.evaluate(async (src) => {
        const image = Object.assign(new Image(), { src });
        await image.decode();
        return [image.naturalWidth, (await fetch(src)).headers.get("content-type")];
      }, src);
      assert.equal(shown, type);
      if (type === "image/png") assert.equal(`${width}x${width}`, sizes);
    }
  } finally {
    await context.close();
    await rm(folder, { recursive: true });
  }
});
