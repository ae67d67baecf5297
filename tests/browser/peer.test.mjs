/** Peer and Connection over real WebRTC: what a fake cannot show of restarts and renegotiation. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage } from "./chromium.mjs";
import { start } from "./stage.mjs";

const { broker, browser } = await start();

async function openPeer() {
  const { page } = await openPage(browser);
  await page.goto(broker.url);
  const id = await page.evaluate(async () => {
    const { Peer, Socket, createIdentity } = await import("/lib/index.js");
    window.peer = new Peer(new Socket("/socket"), await createIdentity());
    window.peer.on("connection", (connection) => (window.connection = connection));
    await window.peer.join();
    return window.peer.id;
  });
  return { page, id };
}

test("both sides change networks at once: ice restarts, and the same channel goes on", { timeout: 30_000 }, async () => {
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
  const heard = await b.page.evaluate(async () => (await window.connection.opened).next());
  assert.deepEqual(heard, { type: "after" });
});
