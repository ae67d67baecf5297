/** The unmodified PeerJS client on pages of another origin, with only its host option changed. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, createServer as createProxy } from "node:net";
import { after, test } from "node:test";
import { SECURE } from "../broker.mjs";
import { startNetwork } from "../vanishing.mjs";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start({
  flags: ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
  set: {
    "peerjs.allow_discovery": true,
    "peerjs.expire_timeout": '"500ms"',
    "ice.check_origin": "any",
    // no server answers there: on one machine, browsers need none
    "peer.ice_servers": '[{ urls = "stun:127.0.0.1:9" }, { urls = "turn:127.0.0.1:9", secret = "north" }]',
  },
});

const script = await readFile(new URL("../node_modules/peerjs/dist/peerjs.min.js", import.meta.url));
const site = createServer((request, response) => {
  const isScript = request.url === "/peerjs.min.js";
  response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
  response.end(isScript ? script : '<!doctype html><title>PeerJS</title><script src="/peerjs.min.js"></script>');
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", () => resolve(undefined)));
after(() => site.close());

/** A page with PeerJS, and a peer that is open: with the id given, or with one that the server gives. */
async function open({ id = undefined, port = broker.port } = {}) {
  const { page } = await openPage(browser);
  await page.goto(`http://127.0.0.1:${/** @type {any} */ (site.address()).port}/`);
  const own = await page.evaluate(async ([id, port, secure]) => {
    const options = { host: "127.0.0.1", port, secure, path: "/", config: { iceServers: [] } };
    window.errors = [];
    window.data = [];
    const peer = id === undefined ? new Peer(options) : new Peer(id, options);
    window.peer = peer;
    peer.on("error", (error) => window.errors.push(error.type));
    peer.on("connection", (connection) => connection.on("data", (data) => window.data.push(data)));
    return new Promise((resolve) => {
      peer.on("open", resolve);
      peer.on("error", () => resolve(null));
    });
  }, [id, port, Boolean(SECURE)]);
  return { page, id: own };
}

test("a peer gets the id that it requests, or one from the server", async () => {
  assert.equal((await open({ id: "ann" })).id, "ann");
  assert.match((await open()).id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("an id is taken while its peer is alive, and free when the peer's network has vanished", async (t) => {
  const network = await startNetwork(broker.port);
  t.after(() => network.close());
  assert.equal((await open({ id: "back", port: network.port })).id, "back");
  const other = await open({ id: "back" });
  assert.equal(other.id, null);
  assert.deepEqual(await other.page.evaluate(() => window.errors), ["unavailable-id"]);
  network.vanish();
  // the peer that has just shown that it is alive keeps the id for a moment
  for (let id = null; id !== "back"; ) ({ id } = await open({ id: "back" }));
});

for (const serialization of ["binary", "json"]) {
  test(`data arrives with the serialization ${serialization}`, async () => {
    const [a, b] = [await open(), await open()];
    await a.page.evaluate(([id, serialization]) => {
      const connection = window.peer.connect(id, { serialization, reliable: true });
      connection.on("open", () => connection.send({ hello: "world", list: [1, 2, 3] }));
    }, [b.id, serialization]);
    await b.page.waitForFunction(() => window.data.length === 1);
    assert.deepEqual(await b.page.evaluate(() => window.data[0]), { hello: "world", list: [1, 2, 3] });
  });
}

test("a page gives PeerJS the ICE servers that the node serves", async () => {
  const [other, { page }] = [await open(), await openPage(browser)];
  await page.goto(`http://127.0.0.1:${/** @type {any} */ (site.address()).port}/`);
  const used = await page.evaluate(async ([broker, id]) => {
    const { iceServers } = await (await fetch(`${broker}ice`)).json();
    const { port, protocol } = new URL(broker);
    const peer = new Peer({ host: "127.0.0.1", port: Number(port), secure: protocol === "https:", path: "/", config: { iceServers } });
    await new Promise((resolve) => peer.on("open", resolve));
    const connection = peer.connect(id);
    await new Promise((resolve) => connection.on("open", resolve));
    connection.send("by way of /ice");
    return connection.peerConnection.getConfiguration().iceServers;
  }, [broker.url, other.id]);
  await other.page.waitForFunction(() => window.data.includes("by way of /ice"));
  assert.deepEqual(used.map(({ urls }) => String(urls)), ["stun:127.0.0.1:9", "turn:127.0.0.1:9"]);
  assert.match(used[1].username, /^\d+:[0-9a-f]{32}$/);
  assert.equal(typeof used[1].credential, "string");
});

test("a call shows the caller's video", async () => {
  const [a, b] = [await open(), await open()];
  await b.page.evaluate(() => {
    window.peer.on("call", async (call) => {
      call.on("stream", (stream) => {
        const video = document.createElement("video");
        video.muted = true;
        video.srcObject = stream;
        document.body.append(video);
        void video.play();
      });
      call.answer(await navigator.mediaDevices.getUserMedia({ video: true }));
    });
  });
  await a.page.evaluate(async (id) => {
    window.peer.call(id, await navigator.mediaDevices.getUserMedia({ video: true }));
  }, b.id);
  await b.page.waitForFunction(() => document.querySelector("video")?.getVideoPlaybackQuality().totalVideoFrames > 10);
});

test("an id that is in use is refused", async () => {
  await open({ id: "bob" });
  const second = await open({ id: "bob" });
  assert.deepEqual(await second.page.evaluate(() => window.errors), ["unavailable-id"]);
});

test("an absent peer is reported as unavailable", async () => {
  const { page } = await open();
  await page.evaluate(() => void window.peer.connect("nobody"));
  await page.waitForFunction(() => window.errors.includes("peer-unavailable"));
});

test("a peer whose connection died silently reconnects with the same id", async () => {
  /** @type {Array<[import("node:net").Socket, import("node:net").Socket]>} */
  const connections = [];
  const proxy = createProxy((client) => {
    const server = connect(broker.port, "127.0.0.1");
    client.on("error", () => {});
    server.on("error", () => {});
    client.pipe(server).pipe(client);
    connections.push([client, server]);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", () => resolve(undefined)));
  try {
    const { page, id } = await open({ id: "cat", port: /** @type {any} */ (proxy.address()).port });
    assert.equal(id, "cat");
    // from now on this client's messages are lost, also its close: the server does not notice it
    for (const [client, server] of connections) client.unpipe(server).resume();
    await page.evaluate(() => {
      window.peer.disconnect();
      window.peer.reconnect();
    });
    await page.waitForFunction(() => window.peer.open && !window.peer.disconnected);
    const other = await open();
    await other.page.evaluate(() => {
      const connection = window.peer.connect("cat");
      connection.on("open", () => connection.send("again"));
    });
    await page.waitForFunction(() => window.data.includes("again"));
  } finally {
    for (const [, server] of connections) server.destroy();
    proxy.close();
  }
});

test("listing all ids works where it is allowed", async () => {
  const { page, id } = await open();
  const all = await page.evaluate(() => new Promise((resolve) => window.peer.listAllPeers(resolve)));
  assert.ok(all.includes(id), `${id} is not among ${all}`);
});
