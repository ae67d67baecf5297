/** The lists of files on both pages: rows, folders, what the receiver selects, and where the keyboard is. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { connect, download, pick, share } from "./app-steps.mjs";
import { inspect } from "./page-checks.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();

const file = (/** @type {string} */ name, bytes = randomBytes(100_000)) => ({ name, bytes });

/** @param {import("playwright-core").Page} page @returns {Promise<string | null>} the name of what has the focus */
const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? null);

test("of a long list, only the rows in view are in the document", async () => {
  const sharer = await share(browser, broker.url, Array.from({ length: 300 }, (_, index) => file(`${index}.txt`, Buffer.from("x"))));
  const { page } = await connect(browser, sharer.link);
  await page.getByRole("button", { name: "Download all" }).waitFor();
  const rows = page.locator("#offers [role=row]");
  assert.ok((await rows.count()) < 40, `${await rows.count()} rows`);
  assert.equal(await page.getAttribute("#offers", "aria-rowcount"), "300");
  await rows.first().focus();
  await page.keyboard.press("End");
  const last = rows.filter({ hasText: "299.txt" });
  assert.equal(await last.getAttribute("aria-posinset"), "300");
  await last.click();
  await page.getByRole("button", { name: "Download 299 of 300" }).waitFor();
  assert.equal(await last.getAttribute("aria-selected"), "false");
  await page.keyboard.press("Control+a");
  await page.getByRole("button", { name: "Download all" }).waitFor();
  assert.equal(await last.getAttribute("aria-selected"), "true");
});

test("folders fold, and are selected and removed as a whole", async () => {
  const sharer = await share(browser, broker.url, [file("a.txt")]);
  await sharer.page.evaluate(() => {
    const names = ["trip/day 1/b.txt", "trip/day 1/c.txt", "trip/d.txt"];
    const files = names.map((name) => Object.defineProperty(new File([name], "x"), "webkitRelativePath", { value: name }));
    const input = document.querySelector("#more-folder");
    Object.defineProperty(input, "files", { value: files });
    input.dispatchEvent(new Event("change"));
  });
  const { page } = await connect(browser, sharer.link);
  const box = (/** @type {string} */ name) => page.getByRole("checkbox", { name, exact: true });
  const isMixed = (/** @type {string} */ name) => box(name).evaluate((/** @type {HTMLInputElement} */ input) => input.indeterminate);
  const names = () => page.locator("#offers bdi").allTextContents();
  assert.deepEqual(await names(), ["a.txt", "trip", "day 1", "b.txt", "c.txt", "d.txt"]);
  await box("trip/day 1/").uncheck();
  await page.getByRole("button", { name: "Download 2 of 4" }).waitFor();
  assert.deepEqual([await isMixed("trip/"), await isMixed("Select all"), await isMixed("trip/day 1/")], [true, true, false]);
  const isSelected = () => page.locator("#offers [role=row]").evaluateAll((rows) => rows.map((row) => row.getAttribute("aria-selected")));
  assert.deepEqual(await isSelected(), ["true", "false", "false", "false", "false", "true"]);
  assert.equal(await page.getAttribute("#offers", "aria-multiselectable"), "true");
  await inspect(page, "select-folders");
  const day = page.getByRole("row", { name: /^day 1,/ });
  await day.focus();
  await page.keyboard.press("ArrowLeft");
  assert.deepEqual(await names(), ["a.txt", "trip", "day 1", "d.txt"]);
  assert.equal(await day.getAttribute("aria-expanded"), "false");
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Download all" }).waitFor();
  await sharer.page.getByRole("button", { name: "Remove trip/day 1/", exact: true }).click();
  await day.waitFor({ state: "detached" });
  assert.deepEqual(await names(), ["a.txt", "trip", "d.txt"]);
  await sharer.page.locator("#share-sum", { hasText: /^2 files,/ }).waitFor();
  assert.equal(await sharer.page.locator("#share-files[aria-multiselectable], #share-files [aria-selected]").count(), 0);
});

test("a receiver selects files while the sender adds and removes some", async () => {
  const sharer = await share(browser, broker.url, [file("one.txt"), file("two.txt", Buffer.from("two")), file("three.txt")]);
  const { page } = await connect(browser, sharer.link);
  await sharer.page.getByRole("button", { name: "Remove one.txt" }).click();
  await page.getByText("one.txt").waitFor({ state: "detached" });
  await pick(sharer.page, "#more", [file("four.txt")]);
  for (const name of ["three.txt", "four.txt"]) await page.getByRole("checkbox", { name }).uncheck();
  await page.getByRole("button", { name: "Download 1 of 3" }).waitFor();
  const saved = await download(page);
  assert.deepEqual([saved.name, saved.bytes.toString()], ["two.txt", "two"]);
});

test("what a receiver has not selected stays so after the sender's reload, whichever files come and go", async () => {
  const files = Object.fromEntries(["one.txt", "two.txt", "three.txt", "four.txt"].map((name) => [name, file(name)]));
  const sharer = await share(browser, broker.url, [files["one.txt"], files["two.txt"], files["three.txt"]]);
  const { page } = await connect(browser, sharer.link);
  const two = page.getByRole("checkbox", { name: "two.txt" });
  await two.focus();
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Download 2 of 3" }).waitFor();
  await sharer.page.reload();
  await page.getByText("The sender shares no files at the moment").waitFor();
  // The order gives each file the id of another one.
  await pick(sharer.page, "#more", [files["four.txt"], files["three.txt"], files["two.txt"]]);
  await page.getByRole("button", { name: "Download 2 of 3" }).waitFor();
  const names = await page.locator("#offers [role=row] input:checked").evaluateAll((boxes) => boxes.map((box) => box.getAttribute("aria-label")));
  assert.deepEqual(names, ["four.txt", "three.txt"]);
  assert.equal(await focused(page), "two.txt");
  // The same name with other contents is another file.
  await sharer.page.getByRole("button", { name: "Remove two.txt" }).click();
  await page.getByRole("button", { name: "Download all" }).waitFor();
  await pick(sharer.page, "#more", [file("two.txt", randomBytes(100_001))]);
  await two.waitFor();
  assert.equal(await two.isChecked(), true);
});

test("the keyboard stays at the control of its row when files come and go, and the page does not scroll", async () => {
  const options = { viewport: { width: 390, height: 500 } };
  const sharer = await share(browser, broker.url, [file("one.txt"), file("two.txt"), file("three.txt")], options);
  const { page } = await connect(browser, sharer.link, options);
  const scrolled = () => Promise.all([page, sharer.page].map((each) => each.evaluate(() => scrollY)));
  await sharer.page.locator("#share-list summary").click();
  await page.getByRole("checkbox", { name: "three.txt" }).focus();
  await sharer.page.getByRole("button", { name: "Remove three.txt" }).focus();
  for (const each of [page, sharer.page]) await each.evaluate(() => scrollTo(0, 0));
  await pick(sharer.page, "#more", [file("four.txt")]);
  await page.getByRole("checkbox", { name: "four.txt" }).waitFor();
  assert.deepEqual([await focused(page), await focused(sharer.page)], ["three.txt", "Remove three.txt"]);
  await sharer.page.getByRole("button", { name: "Remove one.txt" }).evaluate((/** @type {HTMLElement} */ button) => button.click());
  await page.getByRole("checkbox", { name: "one.txt" }).waitFor({ state: "detached" });
  assert.deepEqual([await focused(page), await focused(sharer.page)], ["three.txt", "Remove three.txt"]);
  assert.deepEqual(await scrolled(), [0, 0]);
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Download 2 of 3" }).waitFor();
  // The row is gone: the one in its place has the keyboard, and Enter does not remove that file as well.
  await sharer.page.keyboard.press("Enter");
  await page.getByRole("checkbox", { name: "three.txt" }).waitFor({ state: "detached" });
  assert.match(String(await focused(sharer.page)), /^four\.txt, /);
  assert.match(String(await focused(page)), /^four\.txt, /);
});
