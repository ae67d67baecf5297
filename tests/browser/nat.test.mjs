/** Two browsers behind NAT routers: with STUN, with TURN, and the message when neither is enough. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { startApart } from "./two-networks.mjs";
import { openPage } from "./chromium.mjs";
import { MIDDLE } from "./netns.mjs";
import { connect, download, share } from "./app-steps.mjs";
import { startTurn } from "./turn.mjs";

/** A router that uses the same public port for all destinations, like most home routers. */
const KIND = "masquerade";
/** One that takes another port for every peer, so that what STUN saw is of no use to others. */
const SYMMETRIC = "masquerade fully-random";
const FILE = { name: "a.bin", bytes: randomBytes(3_000_000) };
const LIMIT = { timeout: 120_000 };

/** @typedef {Awaited<ReturnType<typeof startTurn>>} Turn */

/**
 * @param {import("node:test").TestContext} t
 * @param {string} nat
 * @param {(server: Turn) => string[]} ICE servers of the broker's configuration
 */
async function behind(t, nat, servers) {
  const apart = await startApart(t, {
    nat,
    prepare: async (middle) => {
      const turn = await startTurn(middle, MIDDLE);
      return { end: turn.end, set: { "peer.ice_servers": `[${servers(turn).join()}]` } };
    },
  });
  return { ...apart, sharer: await share(apart.browserA, apart.broker.url, [FILE]) };
}

/**
 * @param {import("playwright-core").Page} page
 * @returns {Promise<string[]>} kinds of this side's and the other's end of the path that is used
 */
function pathOf(page) {
  return page.evaluate(async () => {
    const stats = await window.peerConnections.at(-1).getStats();
    const transport = [...stats.values()].find(({ type }) => type === "transport");
    const pair = stats.get(transport.selectedCandidatePairId);
    return [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.get(id).candidateType);
  });
}

for (const [title, nat, servers, kind] of /** @type {Array<[string, string, (turn: Turn) => string[], RegExp]>} */ ([
  ["two home routers are passed with STUN alone", KIND, ({ stun }) => [stun], /^(srflx|prflx)$/],
  ["where every peer gets another port, TURN relays", SYMMETRIC, ({ stun, turn }) => [stun, turn], /^relay$/],
])) {
  test(title, LIMIT, async (t) => {
    const { browserB, sharer } = await behind(t, nat, servers);
    const receiver = await connect(browserB, sharer.link);
    const saved = await download(receiver.page);
    assert.ok(saved.bytes.equals(FILE.bytes));
    const path = await pathOf(receiver.page);
    assert.ok(path.some((end) => kind.test(end)), `the path is ${path}`);
    assert.ok(!path.includes("host"), `the path is ${path}`);
  });
}

test("without a path the page shows the ICE report", LIMIT, async (t) => {
  const { browserB, sharer } = await behind(t, SYMMETRIC, ({ stun }) => [stun]);
  const { page } = await openPage(browserB);
  await page.goto(sharer.link);
  await page.click("#connect");
  await page.locator("#receive-error:not(:empty)").waitFor({ timeout: 60_000 });
  const { reason, iceReport } = await page.evaluate(async () => {
    const { Socket } = await import("/lib/index.js");
    const { Peer, createIdentity } = await import("/lib/rtc/index.js");
    const peer = new Peer(new Socket("/socket"), await createIdentity());
    await peer.join();
    const sharer = new URL(location.href).searchParams.get("peer_id");
    return peer.connect(sharer).then((connection) => connection.opened).catch(({ reason, iceReport }) => ({ reason, iceReport }));
  });
  assert.equal(reason, "no_path");
  assert.deepEqual([iceReport.local.sort(), iceReport.stun, iceReport.turn], [["host", "srflx"], "answered", "none"]);
});
