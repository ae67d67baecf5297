/** Pages on different nodes that work as one broker: they find each other, and survive the death of a node. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { until } from "../clients/await.mjs";
import { Cluster } from "../cluster.mjs";
import { connect, download, share } from "./app-steps.mjs";
import { underWay } from "./real-files.mjs";
import { launch, openPage } from "./chromium.mjs";

/** Limit of a test, in milliseconds. */
const LIMIT = { timeout: 120_000 };
const browser = await launch();
after(() => browser.close());

/** Two nodes, and the log of each, with every connection. */
async function startCluster(t) {
  const logs = { "node-1": "", "node-2": "" };
  const cluster = new Cluster((name, line) => (logs[name] += `${line}\n`));
  t.after(() => cluster.close());
  await cluster.start({ set: { "log.level": "debug" } });
  const sockets = (node) => logs[`node-${cluster.nodes.indexOf(node) + 1}`].split(" to /socket").length - 1;
  return { cluster, sockets };
}

/** The same link, by the address of one node. */
const linkOf = ({ url }, link) => new URL(new URL(link).search + new URL(link).hash, url).href;

test("a download survives the death of the sender's node, and the link works on the other node at once", LIMIT, async (t) => {
  const { cluster, sockets } = await startCluster(t);
  const bytes = randomBytes(48_000_000);
  const sharer = await share(browser, cluster.url, [{ name: "big.bin", bytes }]);
  const [own, other] = sockets(cluster.nodes[0]) ? cluster.nodes : [...cluster.nodes].reverse();
  assert.deepEqual([sockets(own), sockets(other)], [1, 0]);
  const { page } = await connect(browser, linkOf(other, sharer.link));
  const saved = download(page);
  await underWay(page);
  await own.kill();
  await until(() => sockets(other) === 2, "the sender on the other node");
  assert.ok((await saved).bytes.equals(bytes));
  await page.getByText("Download complete, verified").waitFor();
  const late = await connect(browser, linkOf(other, sharer.link));
  assert.ok((await download(late.page)).bytes.equals(bytes));
  assert.equal(await sharer.page.inputValue("#link"), sharer.link);
});

test("unmodified PeerJS clients of different nodes open a data connection", LIMIT, async (t) => {
  const { cluster } = await startCluster(t);
  const script = await readFile(new URL("../node_modules/peerjs/dist/peerjs.min.js", import.meta.url), "utf8");
  const pages = await Promise.all(cluster.nodes.map(async ({ url, port }, n) => {
    const { page } = await openPage(browser, { bypassCSP: true });
    await page.goto(url);
    await page.addScriptTag({ content: script });
    await page.evaluate(([id, port]) => new Promise((resolve, reject) => {
      const peer = new Peer(id, { host: "127.0.0.1", port, path: "/", config: { iceServers: [] } });
      window.peer = peer;
      window.data = new Promise((heard) => peer.on("connection", (connection) => connection.on("data", heard)));
      peer.on("open", resolve).on("error", reject);
    }), /** @type {const} */ ([`peer-${n + 1}`, port]));
    return page;
  }));
  for (const [n, page] of pages.entries()) {
    const other = pages[1 - n];
    await page.evaluate((id) => {
      const connection = window.peer.connect(id);
      connection.on("open", () => connection.send(`to ${id}`));
    }, `peer-${2 - n}`);
    assert.equal(await other.evaluate(() => window.data), `to peer-${2 - n}`);
  }
});
