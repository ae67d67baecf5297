/** The web app at a node that requires tokens: it gets them at `page.token_url`, and says plainly when it has none. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterEach, test } from "node:test";
import { SECRET, at, sign } from "../tokens/sign.mjs";
import { connect, download, pick, share } from "./app-steps.mjs";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

const TOKEN_URL = "/app/token";
const { broker, browser } = await start({
  set: { "auth.mode": "required", "auth.secrets": SECRET, "auth.leeway": "0s", "page.token_url": TOKEN_URL },
});

/** What the application beside the page answers to a request for a token. @type {() => {status: number, json?: object}} */
let answer;
const asked = [];

afterEach(() => asked.splice(0));

/** The broker answers for the application too, which is on the same origin behind a real proxy. */
const newContext = browser.newContext.bind(browser);
browser.newContext = async (options) => {
  const context = await newContext(options);
  await context.route(`**${TOKEN_URL}`, (route) => {
    asked.push(route.request());
    return route.fulfill(answer());
  });
  return context;
};

const signedIn = (claims = {}) => () => ({ status: 200, json: { token: sign(claims) } });
const SIGN_IN = /You are not signed in, or your sign-in has expired/;
const FILES = [{ name: "a.bin", bytes: randomBytes(100_000) }];

/** A page on which files were chosen. */
async function choose() {
  const sharer = await openPage(browser);
  await sharer.page.goto(broker.url);
  await sharer.page.locator("#drop").waitFor();
  await pick(sharer.page, "#file", FILES);
  return sharer;
}

test("a page that gets a token shares a file", async () => {
  answer = signedIn();
  const sharer = await share(browser, broker.url, FILES);
  await sharer.page.getByText("Ready. The link works").waitFor();
  const receiver = await connect(browser, sharer.link);
  assert.deepEqual((await download(receiver.page)).bytes, FILES[0].bytes);
  assert.equal(asked.length, 2, "once for each page");
  assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
});

for (const [what, say] of /** @type {Array<[string, () => {status: number, json?: object, headers?: object}]>} */ ([
  ["has a token that has expired", signedIn({ exp: at(-5) })],
  ["has a token that the node does not accept", () => ({ status: 200, json: { token: sign({}, "another secret of at least 32 bytes, for tests") } })],
  ["is signed out", () => ({ status: 401 })],
  ["is led to a login page", () => ({ status: 302, headers: { location: "https://login.invalid/" } })],
])) {
  test(`a page that ${what} asks the user to sign in, and goes on when that is done`, async () => {
    answer = say;
    const { page, complaints } = await choose();
    await page.locator("#share-error").getByText(SIGN_IN).waitFor();
    const count = asked.length;
    assert.ok(count <= 2, `asked ${count} times`);
    answer = signedIn();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("Ready. The link works").waitFor();
    assert.equal(await page.locator("#share-error").isHidden(), true);
    assert.equal(asked.length, count + 1);
    assert.deepEqual(complaints.filter((text) => text.startsWith("uncaught")), []);
  });
}

test("a page that is signed out links to the page of the same site at which the user signs in", async () => {
  const pages = [["/login?to=share", `${broker.url}login?to=share`], ["https://login.invalid/", null], ["javascript:alert(1)", null], ["//login.invalid/", null], [5, null]];
  for (const [given, expected] of pages) {
    answer = () => ({ status: 401, json: { sign_in: given } });
    const { page } = await choose();
    const problem = page.locator("#share-error");
    await problem.getByText(SIGN_IN).waitFor();
    const link = problem.getByRole("link", { name: "Sign in" });
    assert.equal(await link.count(), expected ? 1 : 0, String(given));
    if (!expected) continue;
    assert.equal(await link.evaluate(({ href }) => href), expected);
    const opened = page.waitForEvent("popup");
    await link.click();
    assert.equal(await (await opened).evaluate(() => window.opener), null);
    answer = signedIn();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("Ready. The link works").waitFor();
  }
});

test("a receiver that is signed out asks the user to sign in, and goes on when that is done", async () => {
  answer = signedIn();
  const sharer = await share(browser, broker.url, FILES);
  answer = () => ({ status: 401 });
  const { page } = await openPage(browser);
  await page.goto(sharer.link);
  assert.equal(asked.length, 1, "nothing is asked before the user connects");
  await page.getByRole("button", { name: "Connect" }).click();
  await page.locator("#receive-error").getByText(SIGN_IN).waitFor();
  answer = signedIn();
  await page.getByRole("button", { name: "Try again" }).click();
  assert.deepEqual((await download(page)).bytes, FILES[0].bytes);
});

test("an application that fails is not a missing sign-in", async () => {
  answer = () => ({ status: 503 });
  const { page } = await choose();
  await page.locator("#share-error").getByText("cannot check your sign-in").waitFor();
  answer = signedIn();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("Ready. The link works").waitFor();
});

test("a token without the rights that the page needs is said plainly", async () => {
  answer = signedIn({ handclasp: { join: ["hall"] } });
  const { page } = await choose();
  await page.locator("#share-error").getByText("Your sign-in does not permit this").waitFor();
});

test("a page whose login ends during a share keeps its files, and says so", async () => {
  answer = signedIn({ exp: at(4) });
  const { page } = await share(browser, broker.url, FILES);
  await page.getByText("Ready. The link works").waitFor();
  answer = () => ({ status: 401 });
  await page.locator("#share-error").getByText(SIGN_IN).waitFor();
  answer = signedIn();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("Ready. The link works").waitFor();
  assert.equal(await page.locator("#share-files [role=row]").count(), 1);
});
