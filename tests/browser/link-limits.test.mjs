/** A link for one download, and a link that expires, on the pages of both sides. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, download, share } from "./app-steps.mjs";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
const file = { name: "a.txt", bytes: Buffer.from("once") };

/** @param {string} link that may admit nobody */
async function tryToConnect(link) {
  const { page } = await openPage(browser);
  await page.goto(link);
  await page.click("#connect");
  return page;
}

test("a link for one download serves one receiver at a time, and no other when one has all, not even after a reload", async () => {
  const sharer = await share(browser, broker.url, [file]);
  await sharer.page.getByText("Link settings", { exact: true }).click();
  await sharer.page.getByRole("checkbox", { name: "Only one download" }).check();
  await sharer.page.getByText("Works once.", { exact: true }).waitFor();
  const first = await connect(browser, sharer.link);
  const second = await tryToConnect(sharer.link);
  await second.getByText("The sender is serving its maximum number of receivers.").waitFor();
  const saved = await download(first.page);
  assert.equal(saved.bytes.toString(), "once");
  await first.page.locator("#receive-state", { hasText: "Download complete, verified" }).getByText("This link was for one download, and has been used.").waitFor();
  await second.getByText("This link was for one download, and has been used. Ask for a new link.").waitFor();
  const used = sharer.page.getByText("This link was for one download, and has been used. To share with more people");
  await used.waitFor();
  assert.equal(await sharer.page.locator("#share-state").isVisible(), false);
  await sharer.page.reload();
  await used.waitFor();
  const late = await tryToConnect(sharer.link);
  await late.getByText("This link was for one download, and has been used. Ask for a new link.").waitFor();
  await sharer.page.getByText("Link settings", { exact: true }).click();
  await sharer.page.getByRole("checkbox", { name: "Only one download" }).uncheck();
  await sharer.page.getByText("Ready. The link works as long as this page is open.").waitFor();
  await late.reload();
  await late.click("#connect");
  await late.locator("#verified").waitFor();
  assert.deepEqual([...sharer.complaints, ...first.complaints], []);
});

test("a receiver that has connected and downloads nothing keeps others out for five minutes", async () => {
  const sharer = await share(browser, broker.url, [file]);
  await sharer.page.getByText("Link settings", { exact: true }).click();
  await sharer.page.getByRole("checkbox", { name: "Only one download" }).check();
  const idle = await connect(browser, sharer.link);
  const next = await tryToConnect(sharer.link);
  await next.getByText("The sender is serving its maximum number of receivers.").waitFor();
  await sharer.page.evaluate(() => {
    const now = performance.now.bind(performance);
    performance.now = () => now() + 300_000;
  });
  await next.getByRole("button", { name: "Try again" }).click();
  await next.locator("#verified").waitFor();
  await idle.page.getByText("The sender is serving its maximum number of receivers.").waitFor();
  assert.equal((await download(next)).bytes.toString(), "once");
  await idle.page.getByText("This link was for one download, and has been used. Ask for a new link.").waitFor();
  assert.deepEqual([...sharer.complaints, ...idle.complaints], []);
});

test("a link that has expired while the sender's device was suspended admits nobody, until the sender sets another time", async () => {
  const sharer = await share(browser, broker.url, [file]);
  const setExpiry = async (/** @type {string} */ label) => {
    await sharer.page.getByLabel("Expires").selectOption({ label });
    await sharer.page.locator("#expiry-form").getByRole("button", { name: "Apply" }).click();
  };
  await sharer.page.getByText("Link settings", { exact: true }).click();
  await setExpiry("In 10 minutes");
  await sharer.page.getByText(/^Works until .*\d.*\.$/).waitFor();
  await sharer.page.reload();
  await sharer.page.getByText(/^Works until .*\d.*\.$/).waitFor();
  const early = await tryToConnect(sharer.link);
  await early.locator("#verified").waitFor();
  // The device's time has passed, and no timer of the page has fired.
  await sharer.page.evaluate(() => {
    const { now } = Date;
    Date.now = () => now() + 600_000;
  });
  const late = await tryToConnect(sharer.link);
  await late.getByText("This link has expired. Ask for a new link.").waitFor();
  await early.getByText("This link has expired. Ask for a new link.").waitFor();
  await sharer.page.getByText("This link has expired. To make it work again").waitFor();
  await sharer.page.getByText("Link settings", { exact: true }).click();
  await setExpiry("In 1 day");
  await sharer.page.getByText(/^Works until .*\d.*\.$/).waitFor();
  await late.reload();
  await late.click("#connect");
  await late.locator("#verified").waitFor();
  assert.deepEqual(sharer.complaints, []);
});
