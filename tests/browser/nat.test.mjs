/** Two browsers behind NAT routers: with STUN, with TURN, without UDP, and the message when nothing is enough. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startApart } from "./two-networks.mjs";
import { openPage } from "./chromium.mjs";
import { MIDDLE } from "./netns.mjs";
import { connect, download, share } from "./app-steps.mjs";
import { startTurn } from "./turn.mjs";

/** A router that uses the same public port for all destinations, like most home routers. */
const HOME = { nat: "masquerade" };
/** One that takes another port for every peer, so that what STUN saw is of no use to others. */
const SYMMETRIC = { nat: "masquerade fully-random" };
/** One that lets only TCP through, like those of some offices and hotels. */
const NO_UDP = { nat: "masquerade", blocks: "meta l4proto udp" };
const FILE = { name: "a.bin", bytes: randomBytes(3_000_000) };
const LIMIT = { timeout: 120_000 };
const PEERJS = fileURLToPath(new URL("../node_modules/peerjs/dist/peerjs.min.js", import.meta.url));

/** @typedef {Awaited<ReturnType<typeof startTurn>>} Turn */
/** @typedef {Array<import("./netns.mjs").Router | null>} Routers of the sharer and the receiver */
/** @typedef {{candidateType: string, relayProtocol?: string}} End */

/**
 * @param {import("node:test").TestContext} t
 * @param {Routers} routers
 * @param {(server: Turn) => string[]} servers ICE servers of the broker's configuration
 */
function behind(t, routers, servers) {
  return startApart(t, {
    routers,
    prepare: async (middle) => {
      const turn = await startTurn(middle, MIDDLE);
      return { end: turn.end, set: { "peer.ice_servers": `[${servers(turn).join()}]` } };
    },
  });
}

/**
 * A page with the unmodified PeerJS client, which fetches the ICE servers from the broker as the README says.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {string} url of the broker
 * @param {string} id
 */
async function openPeerJs(browser, url, id) {
  const { page } = await openPage(browser);
  await page.goto(`${url}ice`);
  await page.addScriptTag({ path: PEERJS });
  await page.evaluate(async (id) => {
    const { iceServers } = await (await fetch(location.href)).json();
    window.peer = new Peer(id, { host: location.hostname, port: Number(location.port), path: "/", config: { iceServers } });
    window.data = [];
    window.peer.on("connection", (connection) => connection.on("data", (data) => window.data.push(data)));
    await new Promise((resolve) => window.peer.on("open", resolve));
  }, id);
  return page;
}

/**
 * @param {import("playwright-core").Page} page
 * @returns {Promise<End[]>} this side's and the other's end of the path that is used
 */
function pathOf(page) {
  return page.evaluate(async () => {
    const stats = await window.peerConnections.at(-1).getStats();
    const transport = [...stats.values()].find(({ type }) => type === "transport");
    const pair = stats.get(transport.selectedCandidatePairId);
    return [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.get(id));
  });
}

/** @type {(path: End[]) => boolean} */
const isPunched = (path) => path.every(({ candidateType }) => /^(srflx|prflx)$/.test(candidateType));
/** @type {(path: End[]) => boolean} */
const isDirect = (path) => path.every(({ candidateType }) => candidateType !== "relay");
/** @type {(path: End[]) => boolean} */
const isRelayed = (path) => path.some(({ candidateType }) => candidateType === "relay");
/** @type {(protocol: string) => (path: End[]) => boolean} */
const relaysOver = (protocol) => ([mine]) => mine.relayProtocol === protocol;

/** @type {Array<[string, Routers, (turn: Turn) => string[], (path: End[]) => boolean]>} */
const PASSABLE = [
  ["two home routers are passed with STUN alone", [HOME, HOME], ({ stun }) => [stun], isPunched],
  ["where every peer gets another port, TURN relays", [SYMMETRIC, SYMMETRIC], ({ stun, turn }) => [stun, turn], isRelayed],
  ["one such router and a home router need TURN too", [SYMMETRIC, HOME], ({ stun, turn }) => [stun, turn], isRelayed],
  ["one such router alone is passed with STUN", [SYMMETRIC, null], ({ stun }) => [stun], isDirect],
  ["where UDP is blocked, TURN relays over TCP", [HOME, NO_UDP], ({ stun, turnOverTcp }) => [stun, turnOverTcp], relaysOver("tcp")],
  ["where UDP is blocked, TURN relays over TLS", [HOME, NO_UDP], ({ stun, turnOverTls }) => [stun, turnOverTls], relaysOver("tls")],
];

describe("behind routers", { concurrency: 2 }, () => {
  for (const [title, routers, servers, isExpected] of PASSABLE) {
    test(title, LIMIT, async (t) => {
      const { broker, browserA, browserB } = await behind(t, routers, servers);
      const sharer = await share(browserA, broker.url, [FILE]);
      const receiver = await connect(browserB, sharer.link);
      const saved = await download(receiver.page);
      assert.ok(saved.bytes.equals(FILE.bytes));
      const path = await pathOf(receiver.page);
      assert.ok(isExpected(path), `the path is ${JSON.stringify(path)}`);
    });
  }

  test("PeerJS pages pass with the servers that they fetch from /ice", LIMIT, async (t) => {
    const { broker, browserA, browserB } = await behind(t, [SYMMETRIC, SYMMETRIC], ({ stun, turn }) => [stun, turn]);
    const [a, b] = [await openPeerJs(browserA, broker.url, "ann"), await openPeerJs(browserB, broker.url, "bob")];
    await b.evaluate(() => {
      const connection = window.peer.connect("ann");
      connection.on("open", () => connection.send("hello"));
    });
    await a.waitForFunction(() => window.data.includes("hello"));
    const path = await pathOf(b);
    assert.ok(isRelayed(path), `the path is ${JSON.stringify(path)}`);
  });

  test("without a path the page shows the ICE report, and a caller gets it, whichever side gives up first", LIMIT, async (t) => {
    const { broker, browserA, browserB } = await behind(t, [SYMMETRIC, SYMMETRIC], ({ stun }) => [stun]);
    const sharer = await share(browserA, broker.url, [FILE]);
    const { page } = await openPage(browserB);
    await page.goto(sharer.link);
    await page.click("#connect");
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
    await page.locator("#receive-error", { hasText: "No direct path" }).waitFor({ timeout: 120_000 });
  });
});
