/** What the app does as an installed one in a real Chromium: it takes what other apps share, and shows notifications. */

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startNginxBelow } from "../proxies.mjs";
import { connect, download, share } from "./app-steps.mjs";
import { openPage } from "./chromium.mjs";
import { inspect } from "./page-checks.mjs";
import { BIG, done, removeFiles, sha256, shareFromDisk } from "./real-files.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
const proxy = await startNginxBelow(broker.port, "/share/");
after(() => proxy.close());
after(removeFiles);

/** @param {() => Promise<any>} check until it is true */
async function until(check) {
  for (const start = Date.now(); !(await check()); await new Promise((resolve) => setTimeout(resolve, 50))) {
    assert.ok(Date.now() - start < 60_000, "it has not happened for a minute");
  }
}

/** A page whose app is installed: its worker runs. */
async function install(url = broker.url) {
  const opened = await openPage(browser);
  await opened.page.goto(url);
  await opened.page.locator("#drop").waitFor();
  await opened.page.evaluate(() => dispatchEvent(new Event("appinstalled")));
  await until(() => opened.page.evaluate(async () => (await navigator.serviceWorker.getRegistration("shared/"))?.active?.state === "activated"));
  return opened;
}

/**
 * Shares like another app: the browser sends a form to the share target of the manifest.
 *
 * @param {import("playwright-core").Page} page
 * @param {{files?: Array<{name: string, bytes: Buffer}>, text?: string, url?: string}} content
 */
async function shareTo(page, { files = [], text = "", url = "" }, app = broker.url) {
  const { share_target: target } = await (await fetch(new URL("app.webmanifest", app))).json();
  await page.goto("about:blank");
  await page.setContent(`<form method="${target.method}" enctype="${target.enctype}" action="${new URL(target.action, app)}">
    <input name="${target.params.text}"><input name="${target.params.url}"><input type="file" multiple name="${target.params.files[0].name}"><button></button></form>`);
  await page.fill(`[name=${target.params.text}]`, text);
  await page.fill(`[name=${target.params.url}]`, url);
  await page.setInputFiles("[type=file]", files.map(({ name, bytes }) => ({ name, mimeType: "application/octet-stream", buffer: bytes })));
  await page.click("button");
}

const isReady = (page) => page.locator("#share-state:not(:empty)").waitFor();
const cachesOf = (page) => page.evaluate(() => caches.keys());
const file = (name, text) => ({ name, bytes: Buffer.from(text) });

test("only an installed app has the worker, and Chromium accepts the share target", async () => {
  const { page } = await openPage(browser);
  const workers = () => page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).map(({ scope }) => scope));
  await page.goto(broker.url);
  await page.locator("#drop").waitFor();
  assert.deepEqual(await workers(), []);
  const session = await page.context().newCDPSession(page);
  const { errors, manifest } = await session.send("Page.getAppManifest");
  assert.deepEqual(errors, []);
  assert.equal(manifest.shareTarget?.action, `${broker.url}shared/`);
  // The window of an installed app says so.
  await page.addInitScript(() => {
    const match = matchMedia;
    window.matchMedia = (query) => match(query === "(display-mode: standalone)" ? "all" : query);
  });
  await page.reload();
  await page.locator("#drop").waitFor();
  await until(async () => (await workers()).length > 0);
  assert.deepEqual(await workers(), [`${broker.url}shared/`]);
});

for (const [title, app] of [["", broker.url], [" below a path", proxy.url]]) {
  test(`files and a text that another app shares are shared at once, and leave nothing behind${title}`, async () => {
    const { page, complaints } = await install(app);
    const files = [file("päper & \"ink\".txt", "paper"), { name: "big.bin", bytes: BIG }];
    await shareTo(page, { files, text: "Look: https://example.org/a", url: "https://example.org/a" }, app);
    await isReady(page);
    assert.equal(page.url(), app);
    assert.deepEqual(await cachesOf(page), []);
    const receiver = await connect(browser, await page.inputValue("#link"));
    await receiver.page.locator(".text-card").waitFor();
    assert.deepEqual(await receiver.page.locator(".text-card pre").allTextContents(), ["Look: https://example.org/a"]);
    await receiver.page.getByRole("checkbox", { name: "päper" }).uncheck();
    const saved = await download(receiver.page);
    assert.deepEqual([saved.name, sha256(saved.bytes)], ["big.bin", sha256(BIG)]);
    await done(receiver.page);
    assert.deepEqual(complaints, []);
  });
}

test("what another app shares while a link is out is added only when the person says so", async () => {
  const { page } = await install();
  await shareTo(page, { files: [file("first.txt", "1")] });
  await isReady(page);
  const link = await page.inputValue("#link");
  await shareTo(page, { files: [file("second.txt", "22")] });
  await page.getByText("From another app: 1 file, 2 bytes. Do you want everyone who has the link below to get it too?").waitFor();
  await inspect(page, "share-from-apps");
  assert.equal(await page.locator("#share-files [role=row]").count(), 0);
  await page.getByRole("button", { name: "Add to this link" }).click();
  await page.locator("#share-sum", { hasText: "1 file, 2 bytes" }).waitFor();
  assert.deepEqual([await page.inputValue("#link"), await cachesOf(page)], [link, []]);
  // The page cannot read the first one again, and still says so, also after another reload.
  for (const isReloaded of [false, true]) {
    if (isReloaded) await page.reload();
    await page.locator("#share-again", { hasText: isReloaded ? "first.txt, second.txt" : "first.txt" }).waitFor();
  }

  await shareTo(page, { files: [file("third.txt", "333")] });
  await page.getByRole("button", { name: "Stop sharing, and make a new link" }).click();
  await page.locator("#share-sum", { hasText: "1 file, 3 bytes" }).waitFor();
  await isReady(page);
  assert.notEqual(await page.inputValue("#link"), link);
  assert.deepEqual(await cachesOf(page), []);
});

test("files for which there is no room, or too many of them, are asked for on the page, and nothing of them is kept", async () => {
  const asked = "What another app shared did not get here. Choose the files here instead.";
  const { page } = await install();
  await shareTo(page, { files: Array.from({ length: 1_001 }, (_, index) => file(`${index}`, "")) });
  await page.getByText(asked).waitFor();
  await shareTo(page, {});
  await page.getByText(asked).waitFor();
  const session = await page.context().newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(broker.url).origin, quotaSize: 1_000 });
  await shareTo(page, { files: [{ name: "big.bin", bytes: BIG.subarray(0, 5_000_000) }] });
  await page.getByText(asked).waitFor();
  assert.deepEqual(await cachesOf(page), []);
  assert.equal(await page.locator("#drop").isVisible(), true);
});

test("a share that was never read is deleted with the next one", async () => {
  const { page } = await install();
  await page.evaluate(async (at) => {
    for (const time of [at - 3_700_000, at - 60_000]) await (await caches.open(`handclasp.shared.${time}-x`)).put("shared/", new Response("x"));
  }, Date.now());
  await shareTo(page, { text: "hello" });
  await isReady(page);
  assert.equal(await page.locator("#share-sum").textContent(), "1 file, 5 bytes");
  const [left, ...more] = await cachesOf(page);
  assert.ok(Date.now() - parseInt(left.split(".")[2]) < 3_600_000 && more.length === 0, left);
});

test("without the worker, the server leads to the page, which asks for the files, also of many megabytes", async () => {
  const { page } = await openPage(browser);
  await shareTo(page, { files: [{ name: "big.bin", bytes: BIG }] });
  await page.getByText("What another app shared did not get here. Choose the files here instead.").waitFor();
  assert.equal(await page.locator("#drop").isVisible(), true);
});

/** Tells a page that nobody sees it: those under Playwright are always visible. It runs in the page. */
const hide = () => Object.defineProperty(document, "hidden", { value: true });
/** @param {import("playwright-core").Page} page */
const notices = (page) => page.evaluate(async () => {
  const registration = await navigator.serviceWorker.getRegistration("shared/");
  return (await registration?.getNotifications() ?? []).map(({ title, body }) => `${title}: ${body}`);
});

test("a hidden page shows a notification when all has arrived, on both sides, without a name", async () => {
  const options = { permissions: ["notifications"] };
  const sharer = await share(browser, broker.url, [file("secret plan.txt", "hello")], options);
  const receiver = await connect(browser, sharer.link, options);
  for (const { page } of [sharer, receiver]) {
    assert.equal(await page.evaluate(() => Notification.permission), "granted");
    await page.evaluate(hide);
  }
  await download(receiver.page);
  for (const { page } of [sharer, receiver]) await until(async () => (await notices(page)).length > 0);
  assert.deepEqual(await notices(receiver.page), ["Handclasp: Download complete, verified: 5 bytes"]);
  assert.deepEqual(await notices(sharer.page), ["Handclasp: Sent and verified: 5 bytes"]);
  assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);

  const [worker] = receiver.page.context().serviceWorkers().filter((found) => found.url().endsWith("app-worker.js"));
  const focused = await worker.evaluate(async () => {
    const [notification] = await self.registration.getNotifications();
    let url = "";
    WindowClient.prototype.focus = async function () {
      url = this.url;
    };
    const click = new NotificationEvent("notificationclick", { notification });
    dispatchEvent(click);
    for (let left = 100; url === "" && left > 0; left--) await new Promise((resolve) => setTimeout(resolve, 50));
    return url;
  });
  assert.equal(focused, receiver.page.url());
  assert.deepEqual(await notices(receiver.page), []);
});

test("a page in view, or without the permission, shows no notification", async () => {
  const sharer = await share(browser, broker.url, [file("a.txt", "hello")], { permissions: ["notifications"] });
  const receiver = await connect(browser, sharer.link);
  await receiver.page.evaluate(hide);
  await download(receiver.page);
  await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).waitFor();
  assert.deepEqual([await notices(sharer.page), await notices(receiver.page)], [[], []]);
});

test("the permission is asked for only when a button is pressed, which is there while something runs", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  for (const [answer, after] of /** @type {const} */ ([["granted", "You will be notified"], ["denied", null]])) {
    const { page } = await openPage(browser);
    await page.addInitScript((answer) => {
      let permission = "default";
      Object.defineProperty(Notification, "permission", { get: () => permission });
      Notification.requestPermission = async () => (permission = answer);
    }, answer);
    await page.goto(sharer.link);
    await page.click("#connect");
    await page.locator("#offers [role=row]").waitFor();
    assert.equal(await page.locator("#receive-notify").isVisible(), false);
    await page.click("#download");
    await page.click("#pause");
    const button = page.getByRole("button", { name: "Notify me when done" });
    await inspect(page, `receive-notify-${answer}`);
    await button.click();
    if (after) await page.getByRole("button", { name: after }).waitFor();
    else await page.locator("#receive-notify").waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(() => Notification.permission), answer);
    await page.click("#cancel");
  }
});
