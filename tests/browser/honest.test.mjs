/** The page says what is so, in every state: what fails has a sentence and a way on, and nothing is shown that has passed. */

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { startBroker } from "../broker.mjs";
import { startSilentProxy } from "../silent-proxy.mjs";
import { connect, download, pick, script, share } from "./app-steps.mjs";
import { openPage } from "./chromium.mjs";
import { inspect } from "./page-checks.mjs";
import { BIG, done, removeFiles, shareFromDisk, underWay, visit } from "./real-files.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
after(removeFiles);

/** Some states are inspected as others see them. */
const DARK_PHONE = /** @type {const} */ ({ viewport: { width: 390, height: 844 }, colorScheme: "dark" });
const FILE = [{ name: "a.txt", bytes: Buffer.from("hello") }];
/** Words of the code that no person should have to read. */
const CODE = /Error|undefined|null|import|module|RTCPeerConnection|https?:\/\/\S+\.js/;

/**
 * @param {import("playwright-core").Page} page
 * @returns {import("playwright-core").WebSocket[]} that it opens from now on
 */
function sockets(page) {
  /** @type {import("playwright-core").WebSocket[]} */
  const opened = [];
  page.on("websocket", (socket) => opened.push(socket));
  return opened;
}

/** @param {import("playwright-core").Page} page */
async function noCode(page) {
  assert.doesNotMatch(await page.innerText("body"), CODE);
}

const noWebRtc = () => void Reflect.deleteProperty(globalThis, "RTCPeerConnection");
const forbiddenWebRtc = () => {
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor() {
      super();
      throw new DOMException("Failed to construct 'RTCPeerConnection'", "NotAllowedError");
    }
  };
};

describe("WebRTC", () => {
  test("a browser that has it switched off says so at once, on both pages, and tries nothing", async () => {
    const { link } = await share(browser, broker.url, FILE);
    for (const url of [broker.url, link]) {
      const { page, complaints } = await openPage(browser);
      await page.addInitScript(noWebRtc);
      const opened = sockets(page);
      await page.goto(url);
      await page.getByText("This browser allows no connections to other browsers").waitFor();
      await page.getByRole("button", { name: "Reload" }).waitFor();
      assert.equal(await page.getByRole("button", { name: "Connect" }).count(), 0);
      await noCode(page);
      await inspect(page, `no-webrtc-${url === link ? "receive" : "share"}`);
      assert.deepEqual([opened, complaints], [[], []]);
    }
  });

  test("a browser that refuses each connection says so, and tries nothing again", async () => {
    const { link } = await share(browser, broker.url, FILE);
    const { page } = await openPage(browser);
    await page.addInitScript(forbiddenWebRtc);
    const opened = sockets(page);
    await page.goto(link);
    await page.click("#connect");
    await page.locator("#receive-error", { hasText: "This browser allows no connections to other browsers" }).waitFor();
    assert.equal(await page.locator("#connect").isVisible(), false);
    await page.goto(broker.url);
    await page.locator("#drop").waitFor();
    await pick(page, "#file", FILE);
    await page.locator("#share-error", { hasText: "This browser allows no connections to other browsers" }).waitFor();
    await noCode(page);
    assert.deepEqual(opened, []);
  });
});

/** Lets the timeouts of more than 10 s in the page run out never, or at once. */
const noPatience = () => {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (run, ms, ...rest) => setTimeout(run, ms > 10_000 ? 0 : ms, ...rest);
};
const endlessPatience = () => {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (run, ms, ...rest) => (ms > 10_000 ? 0 : setTimeout(run, ms, ...rest));
};

const NEEDED_ALWAYS = script("(app/dom|assets/core)");

describe("a module that does not load", () => {
  for (const [title, module] of /** @type {const} */ ([["needed for every view", NEEDED_ALWAYS], ["with the view", script("receive-view")], ["with the language", script("en")]])) {
    test(`${title}: the page offers to reload it, which helps`, async () => {
      const { link } = await share(browser, broker.url, FILE);
      const { page } = await openPage(browser);
      await page.addInitScript(endlessPatience);
      await page.route(module, (route) => route.abort());
      await page.goto(link);
      await page.getByText("This page could not be loaded completely").waitFor();
      await noCode(page);
      await page.unroute(module);
      await page.getByRole("button", { name: "Reload" }).click();
      await page.locator("#connect").waitFor();
      assert.equal(await page.locator("#unloaded").count(), 0);
    });
  }

  test("and does not fail either: the page does not wait for it for ever", async () => {
    const { page } = await openPage(browser);
    await page.addInitScript(noPatience);
    await page.route(NEEDED_ALWAYS, () => {}); // never answered
    await page.goto(broker.url, { waitUntil: "commit" });
    await page.getByText("This page could not be loaded completely").waitFor();
    await page.getByRole("button", { name: "Reload" }).waitFor();
  });

  test("after Connect: the page offers to reload it, and does not try again", async () => {
    const { link } = await share(browser, broker.url, FILE);
    const { page } = await openPage(browser);
    await page.route(script("file-fetch"), (route) => route.abort());
    await page.goto(link);
    await page.click("#connect");
    await page.locator("#receive-error", { hasText: "A part of this page could not be loaded" }).waitFor();
    assert.equal(await page.locator("#connect").isVisible(), false);
    await noCode(page);
    await inspect(page, "receive-module-missing");
    await page.unroute(script("file-fetch"));
    await page.getByRole("button", { name: "Reload" }).click();
    await page.click("#connect");
    await page.getByText("a.txt").waitFor();
  });

  test("with the first file: the sender is told, and a reload helps", async () => {
    const { page } = await openPage(browser);
    await page.route(script("active-share"), (route) => route.abort());
    await page.goto(broker.url);
    await page.locator("#drop").waitFor();
    await pick(page, "#file", FILE);
    await page.locator("#share-error", { hasText: "A part of this page could not be loaded" }).waitFor();
    await noCode(page);
    await page.unroute(script("active-share"));
    await page.getByRole("button", { name: "Reload" }).click();
    await page.locator("#share-error").waitFor({ state: "hidden" });
    await page.locator("#drop").waitFor();
    await pick(page, "#file", FILE);
    await page.locator("#share-sum", { hasText: "1 file" }).waitFor();
  });
});

test("an error that nobody thought of has a sentence, and its message stays behind Details", async () => {
  const { link } = await share(browser, broker.url, FILE);
  const { page } = await openPage(browser, DARK_PHONE);
  await page.addInitScript(() => {
    SubtleCrypto.prototype.digest = () => Promise.reject(new Error("boom at 0x2a"));
  });
  await page.goto(link);
  await page.click("#connect");
  await page.locator("#receive-error", { hasText: "Something unexpected happened" }).waitFor();
  assert.equal(await page.getByText("boom at 0x2a").isVisible(), false);
  await page.locator("#receive-error").getByText("Details", { exact: true }).click();
  assert.equal(await page.getByText("boom at 0x2a").isVisible(), true);
  await inspect(page, "receive-unexpected");
});

describe("a link that is of no use", () => {
  for (const [title, spoil, text] of /** @type {Array<[string, (link: string) => string, string]>} */ ([
    ["without its key", (link) => link.replace(/#.*/, ""), "This link is damaged."],
    ["with a damaged id", (link) => link.replace(/peer_id=.{9}/, "peer_id="), "This link is damaged."],
    ["of a download that is over", (link) => `${new URL(".", link)}?download_over`, "This download is over"],
    ["with another key", (link) => link.replace(/#k=.*/, "#k=AAAAAAAAAAAAAAAAAAAAAA"), "This link is damaged"],
  ])) {
    test(`${title}: the whole link can be pasted`, async () => {
      const { link } = await share(browser, broker.url, FILE);
      const { page } = await openPage(browser, title === "with another key" ? DARK_PHONE : {});
      await page.goto(spoil(link));
      if (title === "with another key") await page.click("#connect");
      await page.getByText(text).waitFor();
      await page.getByRole("link", { name: "Send files instead" }).waitFor();
      await inspect(page, `damaged-${title.replaceAll(" ", "-")}`);
      await page.getByLabel("Paste the whole link").fill(link.slice(0, 40));
      await page.getByRole("button", { name: "Open" }).click();
      await page.getByText("This is not a complete link").waitFor();
      await page.getByLabel("Paste the whole link").fill(`<${link}>`);
      await page.getByRole("button", { name: "Open" }).click();
      await page.getByRole("button", { name: "Connect" }).click();
      await page.getByText("a.txt").waitFor();
    });
  }
});

test("a link works on the page as people pass it on", async () => {
  const { link } = await share(browser, broker.url, FILE);
  const { page } = await openPage(browser);
  for (const passed of [
    link.replace(/peer_id=[^#]*/, (id) => `peer_id=${id.slice(8).toUpperCase()}`),
    ...[".", ")", ",", ">", "%2E", "&fbclid=abc"].map((end) => link + end),
    link.replace("#", "&utm_source=mail#"),
    link.replace("?", "?utm_source=mail&"),
    link.replace("http:", "HTTP:"),
  ]) {
    await page.goto("about:blank");
    await page.goto(passed);
    await page.click("#connect");
    await page.locator("#verified").waitFor();
  }
});

const noLocks = () => void Reflect.deleteProperty(Navigator.prototype, "locks");
const noOwners = () => {
  Reflect.deleteProperty(Navigator.prototype, "locks");
  Reflect.deleteProperty(globalThis, "BroadcastChannel");
};

/**
 * @param {import("playwright-core").Page} page
 * @returns {Promise<import("playwright-core").Page>} its copy: what the tab remembers comes along
 */
async function duplicate(page) {
  const popup = page.waitForEvent("popup");
  await page.evaluate(() => void window.open(location.href));
  return popup;
}

/**
 * Shares a file from a page that runs this script first.
 *
 * @param {() => void} script
 */
async function shareWith(script) {
  const { page } = await openPage(browser);
  await page.context().addInitScript(script);
  await page.goto(broker.url);
  await page.locator("#drop").waitFor();
  await pick(page, "#file", FILE);
  await page.getByText("Ready. The link works").waitFor();
  return { page, link: await page.inputValue("#link") };
}

describe("a sender's tab that is duplicated", () => {
  for (const [title, script] of /** @type {const} */ ([["with locks", () => {}], ["without locks", noLocks]])) {
    test(`${title}: the share stays with the first tab, and the copy starts fresh`, async () => {
      const { page, link } = await shareWith(script);
      const twin = await duplicate(page);
      await twin.locator("#drop").waitFor();
      await pick(twin, "#file", [{ name: "other.txt", bytes: Buffer.from("other") }]);
      await twin.getByText("Ready. The link works").waitFor();
      assert.notEqual(await twin.inputValue("#link"), link);
      assert.equal(await page.getByText("Ready. The link works").isVisible(), true);
      const receiver = await connect(browser, link);
      assert.equal((await download(receiver.page)).bytes.toString(), "hello");
      // The first tab is still the one that a reload restores.
      await page.reload();
      await page.getByText("The link is still the same").waitFor();
      assert.equal(await page.inputValue("#link"), link);
    });
  }

  test("where nothing tells who owns the share: the first tab says that it lost its link, and takes it back", async () => {
    const { page, link } = await shareWith(noOwners);
    const twin = await duplicate(page);
    await page.getByText("This link now leads to another tab or window").waitFor();
    await inspect(page, "share-taken-over");
    await page.getByRole("button", { name: "Take the link back" }).click();
    await page.getByText("Ready. The link works").waitFor();
    assert.equal(await page.getByRole("button", { name: "Take the link back" }).isVisible(), false);
    await twin.getByText("This link now leads to another tab or window").waitFor();
    const receiver = await connect(browser, link);
    assert.equal((await download(receiver.page)).bytes.toString(), "hello");
  });
});

test("a receiver's tab whose place was taken says so, and does not try again by itself", async () => {
  const { link } = await share(browser, broker.url, FILE);
  const { page } = await openPage(browser);
  await page.context().addInitScript(noOwners);
  await page.goto(link);
  await page.click("#connect");
  await page.locator("#verified").waitFor();
  const twin = await duplicate(page);
  await twin.click("#connect");
  await page.locator("#receive-error", { hasText: "Another tab or window took the place of this page" }).waitFor();
  await twin.locator("#verified").waitFor();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator("#verified").waitFor();
});

test("a download goes on when the server gives the tab's place away, and ends complete", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page } = await openPage(browser);
  await page.context().addInitScript(noOwners);
  await page.goto(sharer.link);
  await page.click("#connect");
  await page.click("#download");
  await underWay(page);
  await page.click("#pause");
  // Another page takes the id at the server and calls nobody.
  await page.evaluate(async () => {
    const [{ Socket }, { Peer, restoreIdentity }] = await Promise.all([import("/lib/index.js"), import("/lib/rtc/index.js")]);
    const identity = await restoreIdentity(sessionStorage.getItem("handclasp.receiver"));
    await new Peer(new Socket("/socket"), identity).join();
  });
  await page.click("#pause");
  await done(page);
  assert.equal(await page.locator("#receive-error").isVisible(), false);
});

describe("the reach of a server", () => {
  const NOTE = "Same network only";

  test("without STUN and TURN servers, both pages say it as soon as they know", async () => {
    const sharer = await share(browser, broker.url, FILE);
    await sharer.page.getByText(NOTE).waitFor();
    await sharer.page.close(); // nobody answers the receiver: it knows from the server alone
    const { page } = await openPage(browser, DARK_PHONE);
    await page.goto(sharer.link);
    await page.click("#connect");
    await page.getByText(NOTE).waitFor();
    await page.getByText("The sender is not online").waitFor();
    await inspect(page, "receive-same-network");
  });

  test("a receiver that is connected, or has such servers, need not know it", async (t) => {
    const own = await startBroker({ set: { "peer.ice_servers": '[{ urls = "stun:127.0.0.1:9" }]' } });
    t.after(() => own.kill());
    for (const { url } of [broker, own]) {
      const sharer = await share(browser, url, FILE);
      const { page } = await connect(browser, sharer.link);
      assert.equal(await page.getByText(NOTE).isVisible(), false);
      assert.equal(await sharer.page.getByText(NOTE).isVisible(), url === broker.url);
    }
  });
});

describe("a server that refuses a sender", () => {
  /** @param {string} reason of its first refusal */
  const refusedShare = async (reason) => {
    const { page } = await openPage(browser);
    let joins = 0;
    await page.routeWebSocket(/socket/, (socket) => {
      const server = socket.connectToServer();
      socket.onMessage((text) => {
        const [joinRef, ref, topic, event] = JSON.parse(String(text));
        if (event !== "phx_join" || ++joins > 1) return server.send(text);
        socket.send(JSON.stringify([joinRef, ref, topic, "phx_reply", { status: "error", response: { reason } }]));
      });
    });
    await page.goto(broker.url);
    await page.locator("#drop").waitFor();
    await pick(page, "#file", FILE);
    return { page, joins: () => joins };
  };

  test("for now: the page says why, and tries again when it is told to", async () => {
    const { page, joins } = await refusedShare("rate_limited");
    await page.locator("#share-error", { hasText: "There were too many attempts from here" }).waitFor();
    assert.equal(await page.locator("#share-state").isVisible(), false);
    assert.equal(joins(), 1);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("Ready. The link works").waitFor();
    assert.equal(await page.locator("#share-error").isVisible(), false);
  });

  test("for a cause that the page does not know: it offers to reload the page, and tries nothing", async () => {
    const { page, joins } = await refusedShare("a reason of tomorrow");
    await page.locator("#share-error", { hasText: "Something unexpected happened" }).waitFor();
    await page.getByRole("button", { name: "Reload" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Try again" }).isVisible(), false);
    await noCode(page);
    assert.equal(joins(), 1);
  });
});

test("a sender's page that is shown again over a dead connection is not ready until it is connected again", async (t) => {
  const proxy = await startSilentProxy(broker.port);
  t.after(() => proxy.close());
  const { page, link } = await share(browser, proxy.url, FILE);
  const ready = page.getByText("Ready. The link works");
  const reconnecting = page.locator("#share-state", { hasText: "Reconnecting…" });
  // Pages under Playwright are always visible, so the page is told so.
  const comeBack = () => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await ready.waitFor();
  proxy.fallSilent();
  await comeBack();
  assert.equal(await reconnecting.isVisible(), true);
  await ready.waitFor();
  const receiver = await connect(browser, link);
  assert.equal((await download(receiver.page)).bytes.toString(), "hello");
});

test("Verified is not shown while the sender is gone", async () => {
  const sharer = await share(browser, broker.url, FILE);
  const { page } = await connect(browser, sharer.link);
  await sharer.page.goto("about:blank");
  await page.getByText("The sender is not online").waitFor();
  assert.equal(await page.locator("#verified").isVisible(), false);
  await sharer.page.goto(broker.url);
  await page.locator("#verified").waitFor();
});

test("green is for success: waiting is amber, a cancelled download is grey, and only a complete one is green", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const { page } = await visit(browser, sharer.link);
  const colour = () => page.locator("#receive-state").evaluate((place) => [place.className, getComputedStyle(place).backgroundColor]);
  await page.click("#download");
  await underWay(page);
  await page.click("#cancel");
  await page.getByText("Cancelled. Partial data deleted.").waitFor();
  const [cancelled, grey] = await colour();
  await page.click("#download");
  await done(page);
  const [complete, green] = await colour();
  await sharer.page.goto("about:blank");
  await page.getByText("Reconnecting…").waitFor();
  const [waiting, amber] = await colour();
  assert.deepEqual([cancelled, complete, waiting], ["notice neutral", "notice good", "notice wait"]);
  assert.equal(new Set([grey, green, amber]).size, 3);
});

test("a phone that ignores downloads without a press gets a button, and is told to press it", async () => {
  const sharer = await share(browser, broker.url, FILE);
  const { page } = await openPage(browser, { userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1" });
  let downloads = 0;
  page.on("download", () => (downloads += 1));
  await page.goto(sharer.link);
  await page.click("#connect");
  await page.click("#download");
  await page.getByText("Press Save to keep it.").waitFor();
  assert.equal(downloads, 0);
  const saved = await download(page, () => page.getByRole("link", { name: "Save", exact: true }).click());
  assert.equal(saved.bytes.toString(), "hello");
});

test("a browser that cannot pick folders shows no button for it", async () => {
  const { page } = await openPage(browser);
  await page.addInitScript(() => Reflect.deleteProperty(HTMLInputElement.prototype, "webkitdirectory"));
  await page.goto(broker.url);
  await page.locator("#drop").waitFor();
  assert.equal(await page.getByText("Choose a folder").isVisible(), false);
  await pick(page, "#file", FILE);
  await page.locator("#share-sum", { hasText: "1 file" }).waitFor();
  assert.equal(await page.getByText("Add a folder").isVisible(), false);
  assert.equal(await page.getByText("Add files").isVisible(), true);
});
