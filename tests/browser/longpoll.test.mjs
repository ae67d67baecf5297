/** The official `phoenix` client in a real Chromium, on a page of the server's origin, behind a proxy that breaks WebSockets. */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { startBlockade } from "../blockade.mjs";
import { startBroker } from "../broker.mjs";
import { launch } from "./chromium.mjs";

const CLIENT = fileURLToPath(new URL("../node_modules/phoenix/priv/static/phoenix.js", import.meta.url));

/** @type {import("../broker.mjs").Broker} */
let broker;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  // the permitted silence of a long-polling client depends on it
  broker = await startBroker({ set: { "socket.poll_window": "4s" } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await broker?.kill();
});

/** A page at `url` whose client joins a room, and records the messages that it receives. */
async function open(url, options) {
  // the page's own policy lets no script in but its own
  const page = await (await browser.newContext({ bypassCSP: true })).newPage();
  await page.goto(url);
  await page.addScriptTag({ path: CLIENT });
  await page.evaluate(async (options) => {
    const { LongPoll, Presence, Socket } = window.Phoenix;
    const transport = options.poll ? { transport: LongPoll } : {};
    const socket = new Socket("/socket", { ...transport, ...options });
    socket.connect();
    window.channel = socket.channel("room:browsers", { meta: { name: options.name } });
    window.presence = new Presence(window.channel);
    window.heard = [];
    window.channel.on("said", ({ text }) => window.heard.push(text));
    await new Promise((resolve, reject) => window.channel.join().receive("ok", resolve).receive("error", reject));
  }, options);
  return page;
}

const transport = (page) => page.evaluate(() => window.channel.socket.conn.constructor.name);
const present = (page) =>
  page.waitForFunction(
    () => window.presence.list((_key, { metas }) => metas[0].name).sort().join() === "falls back,polls,upgrades",
  );

test("pages with long-polling, with a fallback to it, and with a WebSocket meet in one room", async () => {
  const proxy = await startBlockade(broker.port, "refuse");
  const pages = [
    await open(broker.url, { name: "upgrades" }),
    await open(broker.url, { name: "polls", poll: true }),
    await open(proxy.url, { name: "falls back", longPollFallbackMs: 2_000 }),
  ];
  const [native, ...polling] = await Promise.all(pages.map(transport));
  assert.equal(native, "WebSocket");
  assert.ok(polling.every((name) => name !== "WebSocket"), polling.join());
  assert.equal(proxy.upgrades(), 1);
  await Promise.all(pages.map(present));
  for (const [at, page] of pages.entries()) {
    await page.evaluate((text) => window.channel.push("said", { text }), `from ${at}`);
    const others = pages.filter((other) => other !== page);
    await Promise.all(others.map((other) => other.waitForFunction((text) => window.heard.includes(text), `from ${at}`)));
  }
  await pages[2].close();
  await pages[0].waitForFunction(() => window.presence.list().length === 2, undefined, { timeout: 120_000 });
  proxy.close();
});
