/**
 * A page in the style of the tutorials' update of 2016, opened as a file: many browsers in one room. Each one that
 * enters calls all others; offers, answers and candidates go to one client by `sendto`, and name their sender in `from`.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { startBroker } from "../broker.mjs";
import { launch, openPage } from "./chromium.mjs";

/** Runs in the page. The query names the server and the room. */
function roomPage() {
  const query = new URLSearchParams(window.location.search);
  const socket = window.io.connect(query.get("server"));
  const connections = (window.connections = {});
  window.heard = [];
  window.left = [];
  const use = (id, channel) => {
    connections[id].channel = channel;
    channel.onmessage = ({ data }) => window.heard.push(data);
  };
  const prepare = (id) => {
    const connection = (connections[id] = { pc: new RTCPeerConnection(), turn: Promise.resolve(), channel: undefined });
    connection.pc.onicecandidate = ({ candidate }) => {
      if (candidate) socket.emit("message", { type: "candidate", ice: candidate.toJSON(), sendto: id });
    };
    connection.pc.ondatachannel = ({ channel }) => use(id, channel);
    return connection;
  };
  const describe = (pc, id) => socket.emit("message", { type: pc.localDescription.type, sdp: pc.localDescription.sdp, sendto: id });
  const handlers = {
    async call(message) {
      const { pc } = prepare(message.from);
      use(message.from, pc.createDataChannel("chat"));
      await pc.setLocalDescription(await pc.createOffer());
      describe(pc, message.from);
    },
    async offer(message, { pc }) {
      await pc.setRemoteDescription({ type: "offer", sdp: message.sdp });
      await pc.setLocalDescription(await pc.createAnswer());
      describe(pc, message.from);
    },
    answer: (message, { pc }) => pc.setRemoteDescription({ type: "answer", sdp: message.sdp }),
    candidate: (message, { pc }) => pc.addIceCandidate(message.ice),
  };
  socket.on("message", (message) => {
    // a member calls or is called once, and nothing else comes from a client that is not one
    const isFirst = message.type === "call" || message.type === "offer";
    if (isFirst === Boolean(connections[message.from])) window.heard.push(`unexpected ${message.type}`);
    const connection = message.type === "offer" ? prepare(message.from) : connections[message.from];
    const turn = connection?.turn ?? Promise.resolve();
    const next = turn.then(() => handlers[message.type](message, connection));
    if (connection) connection.turn = next;
  });
  socket.on("user disconnected", ({ id }) => {
    window.left.push(id);
    connections[id]?.pc.close();
    delete connections[id];
  });
  socket.on("connect", () => {
    socket.emit("enter", query.get("room"));
    socket.emit("message", { type: "call" });
    window.connected = true;
  });
}

const folder = await mkdtemp(join(tmpdir(), "room-page-"));
const browser = await launch();

after(async () => {
  await browser.close();
  await rm(folder, { recursive: true });
});

/** The number of open data channels of a page. */
const channels = () => Object.values(window.connections).filter(({ channel }) => channel?.readyState === "open").length;

for (const [version, name] of Object.entries({ "1.x": "socket.io-client-1", "2.x": "socket.io-client-2", "4.x": "socket.io-client" })) {
  test(`three files with the script of ${version} meet in a room, and each connection is named`, { timeout: 60_000 }, async (t) => {
    const client_dir = fileURLToPath(new URL(`../node_modules/${name}/dist`, import.meta.url));
    const broker = await startBroker({ set: { "socketio.client_dir": client_dir } });
    t.after(() => broker.kill());
    const file = join(folder, `${version}.html`);
    await writeFile(file, `<!doctype html><title>room</title><script src="${broker.url}socket.io/socket.io.js"></script><script>(${roomPage})();</script>`);
    const enter = async (room) => {
      const { page, complaints } = await openPage(browser);
      await page.goto(`${pathToFileURL(file)}?server=${broker.url}&room=${room}`);
      await page.waitForFunction(() => window.connected);
      return { page, complaints };
    };
    const [stranger, a, b] = [await enter("other"), await enter("room"), await enter("room")];
    for (const { page } of [a, b]) await page.waitForFunction(`(${channels})() === 1`);
    const c = await enter("room");
    const members = [a, b, c];
    for (const { page } of members) {
      await page.waitForFunction(`(${channels})() === 2`);
    }
    await c.page.evaluate(() => Object.values(window.connections).forEach(({ channel }) => channel.send("hello from c")));
    for (const { page } of [a, b]) await page.waitForFunction(() => window.heard.includes("hello from c"));
    await b.page.context().close();
    for (const { page } of [a, c]) {
      await page.waitForFunction(() => window.left.length === 1 && Object.keys(window.connections).length === 1);
      assert.equal(await page.evaluate(() => window.heard.some((text) => text.startsWith("unexpected"))), false);
    }
    assert.deepEqual(await a.page.evaluate(() => window.left), await c.page.evaluate(() => window.left));
    assert.deepEqual(await stranger.page.evaluate(() => [window.heard, window.left, Object.keys(window.connections)]), [[], [], []]);
    assert.deepEqual([...a.complaints, ...c.complaints, ...stranger.complaints], []);
  });
}
