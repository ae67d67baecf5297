/**
 * The unmodified PeerJS 0.3.14 on pages of another origin, with only its host option changed. It opens an HTTP stream
 * and a WebSocket side by side, and sends no heartbeats.
 */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, createServer as createProxy } from "node:net";
import { after, afterEach, test } from "node:test";
import { startBroker } from "../broker.mjs";
import { openPage } from "./chromium.mjs";
import { legacyWebRtc } from "./legacy-webrtc.mjs";
import { oldPool } from "./old-pool.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start({ set: { "peerjs.expire_timeout": '"500ms"' } });

/** @type {Record<string, Buffer | string>} */
const SCRIPTS = {
  "/0.3.js": await readFile(new URL("../node_modules/peerjs-0.3/dist/peer.js", import.meta.url)),
  "/1.5.js": await readFile(new URL("../node_modules/peerjs/dist/peerjs.min.js", import.meta.url)),
  "/pool.js": `(${oldPool})();`,
};
const site = createServer((request, response) => {
  const path = request.url ?? "/";
  const script = SCRIPTS[path];
  response.setHeader("content-type", script ? "text/javascript" : "text/html");
  response.end(script ?? `<!doctype html><script src="${path}.js"></script><script src="/pool.js"></script>`);
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", () => resolve(undefined)));
after(() => site.close());
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));

/** The port of a server. */
const portOf = (/** @type {import("node:net").Server} */ server) => /** @type {any} */ (server.address()).port;

/**
 * A page with this version of PeerJS and a pool whose peer is open, with the id given, or with one that the server
 * gives. It replies to every message.
 */
async function open({ id = undefined, port = broker.port, version = "0.3" } = {}) {
  const { page } = await openPage(browser);
  await page.addInitScript(legacyWebRtc);
  await page.goto(`http://127.0.0.1:${portOf(site)}/${version}`);
  await page.evaluate(([id, options]) => {
    window.data = [];
    window.errors = [];
    const pool = (window.pool = new window.OldPool({ id, options }));
    pool.peer.on("error", (error) => window.errors.push(error.type));
    /** Sends a message, and resolves with its reply, whichever connection brings it. */
    window.ask = async (id, data) => {
      const key = Math.random();
      const reply = new Promise((resolve) => pool.replies.set(key, resolve));
      (await pool.create(id)).send({ key, data });
      return reply;
    };
    pool.replies = new Map();
    pool.ondata = async (peer, { key, data, reply }) => {
      if (reply !== undefined) return pool.replies.get(key)(reply);
      window.data.push(data);
      return (await pool.create(peer)).send({ key, reply: data });
    };
  }, [id, { host: "127.0.0.1", port, path: "/" }]);
  await page.waitForFunction(() => window.pool.peer.open);
  return { page, id: await page.evaluate(() => window.pool.peer.id) };
}

/** Sends `data` from a page to a peer, and returns the reply, which is the same. */
const exchange = (page, id, data) => page.evaluate(([id, data]) => window.ask(id, data), [id, data]);

/** A way to the broker that handles each connection's first bytes as `pass` says: it may keep them. */
async function openProxy(pass) {
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  const proxy = createProxy((client) => {
    sockets.add(client);
    client.on("error", () => {});
    client.once("data", (first) => {
      if (!pass(first.toString())) return;
      const server = connect(broker.port, "127.0.0.1");
      sockets.add(server);
      server.on("error", () => {});
      server.on("close", () => client.destroy());
      client.on("close", () => server.destroy());
      server.write(first);
      server.pipe(client).pipe(server);
    });
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", () => resolve(undefined)));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  after(() => {
    cut();
    proxy.close();
  });
  return { port: portOf(proxy), cut };
}

test("a peer opens once, and stays open when it ends its HTTP stream", async () => {
  const { page, id } = await open({ id: "ann" });
  assert.equal(id, "ann");
  // five seconds after its WebSocket has opened
  await page.waitForFunction(() => window.pool.peer.socket._http === null);
  assert.deepEqual(await page.evaluate(() => [window.pool.opened, window.pool.losses, window.pool.peer.open]), [1, 0, true]);
});

test("data passes between two pages, through one connection", async () => {
  const [a, b] = [await open(), await open()];
  const message = { text: "hä?", list: [1, 2, 3] };
  assert.deepEqual(await exchange(a.page, b.id, message), message);
  assert.deepEqual(await exchange(a.page, b.id, "again"), "again");
  assert.equal(await a.page.evaluate(() => window.pool.connects), 1);
});

for (const [from, to] of [["0.3", "1.5"], ["1.5", "0.3"]]) {
  test(`data passes from a page with PeerJS ${from} to one with ${to}`, async () => {
    const [a, b] = [await open({ version: from }), await open({ version: to })];
    assert.deepEqual(await exchange(a.page, b.id, { hello: "world" }), { hello: "world" });
  });
}

test("data passes between pages whose WebSockets never open", async () => {
  const proxy = await openProxy((first) => !/upgrade: websocket/i.test(first));
  const [a, b] = [await open({ port: proxy.port }), await open({ port: proxy.port })];
  assert.equal(await a.page.evaluate(() => window.pool.peer.socket._socket.readyState), 0);
  assert.deepEqual(await exchange(a.page, b.id, "by HTTP"), "by HTTP");
  await a.page.evaluate(() => void window.pool.create("nobody"));
  await a.page.waitForFunction(() => window.errors.includes("peer-unavailable"));
});

test("an id that is in use is refused once, and an absent peer is unavailable", async () => {
  await open({ id: "bob" });
  const { page } = await open();
  await page.evaluate((options) => {
    window.second = [];
    new Peer("bob", options).on("error", (error) => window.second.push(error.type));
    void window.pool.create("nobody");
  }, { host: "127.0.0.1", port: broker.port, path: "/" });
  await page.waitForFunction(() => window.errors.includes("peer-unavailable"));
  assert.deepEqual(await page.evaluate(() => window.second), ["unavailable-id"]);
});

test("a pool whose connection to the server breaks reconnects with the same id", async () => {
  const proxy = await openProxy(() => true);
  const [a, b] = [await open({ id: "cat", port: proxy.port }), await open()];
  proxy.cut();
  await a.page.waitForFunction(() => window.pool.losses > 0 && window.pool.peer.open);
  assert.equal(await a.page.evaluate(() => window.pool.peer.id), "cat");
  assert.deepEqual(await exchange(b.page, "cat", "still there?"), "still there?");
});

test("a pool that says nothing to the server stays connected", async () => {
  const impatient = await startBroker({ set: { "peerjs.alive_timeout": '"3s"' } });
  try {
    const { page } = await open({ port: impatient.port });
    // its stream ends after 5 s, which is longer than the timeout
    await page.waitForFunction(() => window.pool.peer.socket._http === null);
    assert.deepEqual(await page.evaluate(() => [window.pool.opened, window.pool.losses]), [1, 0]);
  } finally {
    await impatient.kill();
  }
});

/** As in webrtc-chord: every page knows its successors, and asks any of the others. */
test("five pages of a ring reach each other", async () => {
  const ring = [];
  for (let n = 0; n < 5; n += 1) ring.push(await open());
  await Promise.all(ring.map(async ({ page }, n) => {
    for (const step of [1, 2, 3]) {
      const { id } = ring[(n + step) % ring.length];
      assert.deepEqual(await exchange(page, id, { from: n, step }), { from: n, step });
    }
  }));
  for (const { page } of ring) {
    assert.deepEqual(await page.evaluate(() => [window.pool.opened, window.pool.losses]), [1, 0]);
    assert.equal(await page.evaluate(() => window.data.length), 3);
  }
});
