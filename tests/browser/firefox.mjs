/**
 * A real Firefox for the tests, driven by Puppeteer over WebDriver BiDi. Its pages have those methods of Playwright's
 * pages that the common steps use, with the same names, so that one script runs in Chromium and in Firefox.
 */

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import puppeteer from "puppeteer-core";

const FIREFOX = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
/** As that of pages in Chromium (ms). */
const TIMEOUT = 60_000;

const PREFS = {
  // A page on this machine is reached by its addresses on this machine, and without a name that is only known by mDNS.
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.peerconnection.ice.loopback": true,
  // Puppeteer switches updates, telemetry and safe browsing off; these look for servers besides.
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.trr.mode": 5,
  "services.settings.server": "data:,#remote-settings-dummy/v1",
};

/**
 * @param {Record<string, boolean | number | string>} [prefs] besides the usual ones
 * @returns {Promise<FirefoxBrowser>}
 */
export async function launchFirefox(prefs = {}) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-firefox-"));
  const extraPrefsFirefox = { ...PREFS, ...prefs };
  try {
    const browser = await puppeteer.launch({ browser: "firefox", executablePath: FIREFOX, headless: true, extraPrefsFirefox, networkEnabled: false, timeout: 60_000 });
    return new FirefoxBrowser(browser, folder);
  } catch (error) {
    await rm(folder, { recursive: true });
    throw error;
  }
}

export class FirefoxBrowser {
  #browser;
  #folder;
  #contexts = new Set();

  /**
   * @param {import("puppeteer-core").Browser} browser
   * @param {string} folder for downloads, and for the files that tests make
   */
  constructor(browser, folder) {
    this.#browser = browser;
    this.#folder = folder;
  }

  /** Its pages share no cookies and no storage with those of other contexts. Firefox has none of Playwright's options. */
  async newContext() {
    const folder = await mkdtemp(join(this.#folder, "context-"));
    const context = await this.#browser.createBrowserContext({ downloadBehavior: { policy: "allow", downloadPath: folder } });
    const downloads = new EventEmitter();
    // Puppeteer has no event for downloads; this is one of WebDriver BiDi.
    this.#browser.connection.on("browsingContext.downloadEnd", ({ status, filepath }) => {
      if (status === "complete" && dirname(filepath) === folder) downloads.emit("complete", filepath);
    });
    const own = {
      // A tab in the background would have slow timers, so each page has a window.
      newPage: async () => new FirefoxPage(await context.newPage({ type: "window" }), this.#folder, downloads),
      close: async () => void (this.#contexts.delete(own) && (await context.close())),
    };
    this.#contexts.add(own);
    return own;
  }

  contexts = () => [...this.#contexts];

  async close() {
    await this.#browser.close();
    await rm(this.#folder, { recursive: true });
  }
}

class FirefoxPage {
  #page;
  #folder;
  #downloads;

  /**
   * @param {import("puppeteer-core").Page} page
   * @param {string} folder for the files that tests make
   * @param {EventEmitter} downloads emits `complete` with the path
   */
  constructor(page, folder, downloads) {
    this.#page = page;
    this.#folder = folder;
    this.#downloads = downloads;
  }

  on(event, listener) {
    if (event === "console") this.#page.on("console", (message) => listener({ type: () => message.type().replace(/^warn$/, "warning"), text: () => message.text() }));
    else if (event === "pageerror") this.#page.on("pageerror", listener);
    else assert.fail(`the steps in Firefox know no event ${event}`);
  }

  addInitScript = (script) => this.#page.evaluateOnNewDocument(script);
  close = () => this.#page.close();
  content = () => this.#page.content();
  evaluate = (work, argument) => this.#page.evaluate(work, argument);
  goto = (url) => this.#page.goto(url);
  reload = () => this.#page.reload();
  waitForFunction = (work, argument, { timeout = TIMEOUT } = {}) => this.#page.waitForFunction(work, { polling: "mutation", timeout }, argument);

  click = (selector) => this.locator(selector).click();
  fill = (selector, text) => this.locator(selector).fill(text);
  inputValue = async (selector) => (await this.locator(selector).find()).evaluate((input) => input.value);

  getByRole = (role, { name }) => new FirefoxLocator(this.#page, { role, text: textOf(name) });
  getByText = (text) => new FirefoxLocator(this.#page, { selector: "main *", text: textOf(text), isInnermost: true });
  locator = (selector, { hasText } = {}) => new FirefoxLocator(this.#page, { selector, text: textOf(hasText) });

  /**
   * @param {string} selector
   * @param {string | string[] | Array<{name: string, buffer: Buffer}>} files paths, or what is to be in them
   */
  async setInputFiles(selector, files) {
    const folder = await mkdtemp(join(this.#folder, "picked-"));
    const paths = [files].flat().map(async (file) => {
      if (typeof file === "string") return file;
      await writeFile(join(folder, file.name), file.buffer);
      return join(folder, file.name);
    });
    const input = await this.#page.waitForSelector(selector);
    await input.uploadFile(...(await Promise.all(paths)));
  }

  /**
   * @param {string} event
   * @param {{timeout?: number}} [options]
   * @returns the next download that is complete
   */
  async waitForEvent(event, { timeout = TIMEOUT } = {}) {
    assert.equal(event, "download");
    const [path] = await once(this.#downloads, "complete", { signal: AbortSignal.timeout(timeout) });
    return { suggestedFilename: () => basename(path), path: async () => path };
  }
}

/** @param {string | RegExp | undefined} text @returns {Query["text"]} as it can be sent to the page */
function textOf(text) {
  if (text instanceof RegExp) return { source: text.source, flags: text.flags };
  return text === undefined ? undefined : { part: text };
}

/**
 * @typedef {object} Query
 * @property {string} [selector]
 * @property {string} [role]
 * @property {{source: string, flags: string} | {part: string}} [text]
 * @property {boolean} [isInnermost] only elements whose children do not have the text
 */

class FirefoxLocator {
  #page;
  #query;
  #index;

  /**
   * @param {import("puppeteer-core").Page} page
   * @param {Query} query
   * @param {number} [index] among those that match
   */
  constructor(page, query, index = 0) {
    this.#page = page;
    this.#query = query;
    this.#index = index;
  }

  first = () => this.nth(0);
  nth = (/** @type {number} */ index) => new FirefoxLocator(this.#page, this.#query, index);

  /** @returns {Promise<number>} */
  count = () => this.#page.evaluate(look, this.#query, 0, "count");
  /** @returns {Promise<boolean>} */
  isVisible = () => this.#page.evaluate(look, this.#query, this.#index, "isVisible");

  /** @param {{state?: "visible" | "hidden" | "attached" | "detached", timeout?: number}} [options] */
  async waitFor({ state = "visible", timeout = TIMEOUT } = {}) {
    const seen = this.#page.waitForFunction(look, { polling: "mutation", timeout }, this.#query, this.#index, state);
    return seen.catch((cause) => assert.fail(`${JSON.stringify(this.#query)} was not ${state}: ${cause.message}`));
  }

  /** @returns {Promise<import("puppeteer-core").ElementHandle>} */
  async find() {
    return (await this.waitFor()).asElement();
  }

  async click() {
    await this.find();
    await (await this.waitFor({ state: "enabled" })).asElement().click();
  }

  /** @param {string} text instead of what is there */
  async fill(text) {
    const input = await this.find();
    await input.evaluate((element) => element.select());
    await input.type(text);
  }
}

/**
 * Runs in the page.
 *
 * @param {Query} query
 * @param {number} index
 * @param {string} wanted
 * @returns {any} for `visible`, `enabled` and `attached` the element; false if the page is not as wanted
 */
function look({ selector, role, text, isInnermost }, index, wanted) {
  const ROLES = {
    button: "button, [role=button], input[type=submit]",
    heading: "h1, h2, h3",
    link: "a[href]",
    textbox: "textarea, input:not([type]), input[type=text], input[type=password]",
  };
  const pattern = text && "source" in text ? new RegExp(text.source, text.flags) : null;
  const part = text && "part" in text ? text.part.toLowerCase() : "";
  const fits = (said) => {
    const words = (said ?? "").replace(/\s+/g, " ").trim();
    return pattern ? pattern.test(words) : words.toLowerCase().includes(part);
  };
  const nameOf = (element) => element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent;
  const isMatch = (element) => (role ? fits(nameOf(element)) : fits(element.textContent)) && !(isInnermost && Array.from(element.children, ({ textContent }) => textContent).some(fits));
  const isSeen = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().height > 0;
  const matches = [...document.querySelectorAll(role ? ROLES[role] : selector)].filter(isMatch);
  if (wanted === "count") return matches.length;
  // Of two that match, the hidden one is meant by nobody.
  const element = matches.filter(isSeen)[index] ?? matches[index];
  if (wanted === "detached") return !element;
  if (wanted === "hidden") return !element || !isSeen(element);
  if (wanted === "isVisible") return Boolean(element && isSeen(element));
  if (wanted === "attached") return element ?? false;
  return Boolean(element) && isSeen(element) && !(wanted === "enabled" && element.disabled) && element;
}
