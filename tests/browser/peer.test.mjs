/** Peer and Connection over real WebRTC: ICE restarts, aborts and reloads. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();

/** @param {{pathless?: boolean}} [options] pathless: until `window.pathless` is false, no connection comes about */
async function openPeer({ pathless = false } = {}) {
  const { page } = await openPage(browser);
  const { id, secret } = await enter(page, { pathless });
  return { page, id, secret };
}

/**
 * Opens the page, and a peer in it.
 *
 * @param {import("playwright-core").Page} page
 * @param {{secret?: string, pathless?: boolean}} [options] secret: of an earlier page
 */
async function enter(page, options = {}) {
  await page.goto(broker.url);
  return page.evaluate(async ({ secret, pathless }) => {
    const { Socket } = await import("/lib/index.js");
    const { Peer, createIdentity, restoreIdentity } = await import("/lib/rtc/index.js");
    const identity = secret ? await restoreIdentity(secret) : await createIdentity();
    window.pathless = pathless;
    window.pcs = [];
    // Without a TURN server, relays alone are no way at all.
    const policy = () => ({ iceTransportPolicy: window.pathless ? "relay" : "all" });
    const createConnection = (config) => (window.pcs.push(new RTCPeerConnection({ ...config, ...policy() })), window.pcs.at(-1));
    window.peer = new Peer(new Socket("/socket"), identity, { createConnection });
    window.peer.on("connection", (connection) => (window.connection = connection));
    await window.peer.join();
    return { id: identity.peerId, secret: identity.secret };
  }, options);
}

/** Both descriptions are there, and nothing comes of it. */
const isStuck = () => window.pcs.some((pc) => pc.remoteDescription && pc.signalingState === "stable");

test("both sides change networks at once: ICE restarts, and the same channel goes on", { timeout: 120_000 }, async () => {
  const [a, b] = [await openPeer(), await openPeer()];
  await a.page.evaluate(async (id) => {
    window.connection = await window.peer.connect(id);
  }, b.id);
  await b.page.waitForFunction(() => window.connection);
  const ufrags = ({ page }) =>
    page.evaluate(() => {
      const of = (description) => /a=ice-ufrag:(\S+)/.exec(description.sdp)[1];
      const { pc } = window.connection;
      return [of(pc.localDescription), of(pc.remoteDescription), pc.signalingState];
    });
  const [before] = [await ufrags(a), await ufrags(b)];
  for (const { page } of [a, b]) await page.evaluate(() => dispatchEvent(new Event("online")));
  let now;
  do now = await ufrags(a);
  while (now[0] === before[0] || now[1] === before[1] || now[2] !== "stable");
  await a.page.evaluate(async () => (await window.connection.opened).send({ type: "after" }));
  const heard = await b.page.evaluate(async () => (await window.connection.opened).receive());
  assert.deepEqual(heard, { type: "after" });
});

test("an aborted call leaves no unfinished connection on the other side", async () => {
  const [a, b] = [await openPeer({ pathless: true }), await openPeer({ pathless: true })];
  await a.page.evaluate((id) => {
    window.control = new AbortController();
    window.call = window.peer.connect(id, { signal: window.control.signal }).catch(({ reason }) => reason);
  }, b.id);
  await b.page.waitForFunction(isStuck);
  assert.equal(await a.page.evaluate(() => (window.control.abort(), window.call)), "aborted");
  await b.page.waitForFunction(() => window.pcs.every(({ connectionState }) => connectionState === "closed"), null, { timeout: 60_000 });
});

test("a page that reloads during a handshake is connected at once, and so is its caller", async () => {
  const [a, b] = [await openPeer({ pathless: true }), await openPeer({ pathless: true })];
  await a.page.evaluate((id) => void (window.call = window.peer.connect(id)), b.id);
  await a.page.waitForFunction(isStuck);
  await a.page.evaluate(() => (window.pathless = false));
  await enter(b.page, { secret: b.secret });
  // Before any call could have run into its timeout of 30 s.
  b.page.setDefaultTimeout(15_000);
  await b.page.evaluate((id) => void window.peer.connect(id).then((connection) => (window.connection = connection)), a.id);
  await b.page.waitForFunction(() => window.connection?.isOpen);
  assert.equal(await a.page.evaluate(async () => (await window.call).isOpen), true);
});
