/** Common steps of the app's tests: share, connect, download. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { openPage } from "./chromium.mjs";

/** @typedef {{name: string, bytes: Buffer}} TestFile */

/** The debugging protocol sends bytes as text, which takes seconds for large files (bytes). */
const MAX_SENT = 1_000_000;
/** @type {string[]} */
const folders = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

/**
 * @param {string} module its name, or a regular expression
 * @returns {RegExp} the URL of its file, also of the one that the build makes of it, with a hash in its name
 */
export function script(module) {
  return new RegExp(`/(${module})(-[\\w-]{8})?\\.js$`);
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} input
 * @param {TestFile[] | string} files or the path of one on the disk
 */
export async function pick(page, input, files) {
  if (typeof files === "string") return page.setInputFiles(input, files);
  const sum = files.reduce((bytes, file) => bytes + file.bytes.length, 0);
  if (sum > MAX_SENT) return page.setInputFiles(input, await onDisk(files));
  await page.setInputFiles(input, files.map(({ name, bytes }) => ({ name, mimeType: "application/octet-stream", buffer: bytes })));
}

/**
 * @param {TestFile[]} files
 * @returns {Promise<string[]>} paths, until the tests are over
 */
async function onDisk(files) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  folders.push(folder);
  return Promise.all(files.map(async ({ name, bytes }) => {
    await writeFile(join(folder, name), bytes);
    return join(folder, name);
  }));
}

/**
 * @param {import("playwright-core").Browser} browser
 * @param {string} url
 * @param {TestFile[] | string} files
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function share(browser, url, files, options) {
  const sharer = await openPage(browser, options);
  await sharer.page.goto(url);
  await sharer.page.locator("#drop").waitFor();
  await pick(sharer.page, "#file", files);
  await sharer.page.locator("#share-state:not(:empty)").waitFor();
  return { ...sharer, link: await sharer.page.inputValue("#link") };
}

/**
 * @param {import("playwright-core").Page} page of a sharer
 * @param {string} password
 */
export async function setPassword(page, password) {
  await page.getByText("Link settings").click();
  await page.getByRole("textbox", { name: "Password" }).fill(password);
  await page.getByRole("button", { name: "Set" }).click();
  await page.getByText("The link now needs the password").waitFor();
}

/**
 * @param {import("playwright-core").Browser} browser
 * @param {string} link
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function connect(browser, link, options) {
  const receiver = await openPage(browser, options);
  await receiver.page.goto(link);
  await receiver.page.click("#connect");
  await receiver.page.locator("#verified").waitFor();
  await receiver.page.locator("#offers [role=row]").first().waitFor();
  return receiver;
}

/**
 * @param {import("playwright-core").Page} page
 * @param {() => Promise<any>} [start] what makes it begin
 */
export async function download(page, start = () => page.click("#download"), { timeout = 60_000 } = {}) {
  const saved = page.waitForEvent("download", { timeout });
  await start();
  const file = await saved;
  const path = await file.path();
  return { name: file.suggestedFilename(), path, bytes: await readFile(path) };
}

/**
 * @param {() => Promise<string[]>} heard messages over a page's data channels since it was loaded
 * @returns {Promise<number>} the bytes of files that it has received
 */
export async function bytesHeard(heard) {
  return (await heard()).reduce((sum, text) => sum + (Number(/^(\d+) bytes$/.exec(text)?.[1]) || 0), 0);
}

/**
 * A link with another key is refused, and tells nothing.
 *
 * @param {import("playwright-core").Browser} from of the sharer
 * @param {import("playwright-core").Browser} to of the receiver
 * @param {string} url
 */
export async function tryWrongKey(from, to, url) {
  const sharer = await share(from, url, [{ name: "secret plan.bin", bytes: randomBytes(100_000) }]);
  const receiver = await openPage(to);
  await receiver.page.goto(sharer.link.replace(/#k=.*/, `#k=${randomBytes(16).toString("base64url")}`));
  await receiver.page.click("#connect");
  await receiver.page.getByText("This link is damaged: the sender’s page refused its key").waitFor();
  await sharer.page.getByText("Someone with a wrong link or password was refused.").waitFor();
  const heard = await receiver.heard();
  assert.deepEqual(heard.map((text) => JSON.parse(text).type), ["hello", "refused"]);
  assert.doesNotMatch(heard.join() + (await receiver.page.content()), /secret/);
  assert.deepEqual(receiver.complaints, []);
}

/**
 * The receiver's page asks for the password, refuses a wrong one and accepts the right one.
 *
 * @param {import("playwright-core").Browser} from of the sharer
 * @param {import("playwright-core").Browser} to of the receiver
 * @param {string} url
 */
export async function tryPasswords(from, to, url) {
  const sharer = await share(from, url, [{ name: "a.txt", bytes: Buffer.from("hello") }]);
  await setPassword(sharer.page, "correct horse");
  const receiver = await openPage(to);
  await receiver.page.goto(await sharer.page.inputValue("#link"));
  await receiver.page.getByRole("textbox", { name: "Password" }).fill("battery staple");
  await receiver.page.click("#connect");
  await receiver.page.getByText("This password is wrong").waitFor();
  await receiver.page.getByRole("textbox", { name: "Password" }).fill("correct horse");
  await receiver.page.click("#connect");
  assert.equal((await download(receiver.page)).bytes.toString(), "hello");
}
