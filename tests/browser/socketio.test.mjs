/**
 * A page of the old WebRTC tutorials, with the client's script of its time from the page's server: two browsers signal
 * over `message`, exchange data directly, and notice when the other one leaves.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBroker } from "../broker.mjs";
import { launch, openPage } from "./chromium.mjs";

const INDEX = `<!doctype html><title>tutorial</title><link rel="icon" href="data:,">
<script src="/socket.io/socket.io.js"></script><script src="/tutorial.js"></script>`;

/** In the style of 2014: the second client calls. Runs in the page. */
function tutorial() {
  const socket = window.io.connect();
  window.heard = [];
  const send = (message) => socket.emit("message", message);
  const pc = (window.pc = new RTCPeerConnection());
  pc.onicecandidate = ({ candidate }) => candidate && send({ type: "candidate", candidate: candidate.toJSON() });
  const use = (channel) => {
    window.channel = channel;
    channel.onmessage = ({ data }) => window.heard.push(data);
  };
  pc.ondatachannel = ({ channel }) => use(channel);
  socket.on("connect", () => {
    window.connected = true;
  });
  window.call = async () => {
    use(pc.createDataChannel("chat"));
    await pc.setLocalDescription(await pc.createOffer());
    send({ type: "offer", sdp: pc.localDescription.sdp });
  };
  let turn = Promise.resolve();
  const handle = async (message) => {
    if (message.type === "candidate") return pc.addIceCandidate(message.candidate);
    await pc.setRemoteDescription(message);
    if (message.type === "answer") return undefined;
    await pc.setLocalDescription(await pc.createAnswer());
    return send({ type: "answer", sdp: pc.localDescription.sdp });
  };
  socket.on("message", (message) => {
    turn = turn.then(() => handle(message));
  });
  socket.on("user disconnected", () => {
    window.alone = true;
  });
}

const folder = await mkdtemp(join(tmpdir(), "tutorial-"));
await writeFile(join(folder, "index.html"), INDEX);
await writeFile(join(folder, "tutorial.js"), `(${tutorial})();`);
const browser = await launch();

after(async () => {
  await browser.close();
  await rm(folder, { recursive: true });
});

/** The folders with the scripts. */
const CLIENTS = {
  "1.0": "socket.io-client-1.0",
  "1.3": "socket.io-client-1.3",
  "1.x": "socket.io-client-1/dist",
  "2.x": "socket.io-client-2/dist",
  "4.x": "socket.io-client/dist",
};
for (const [version, scripts] of Object.entries(CLIENTS)) {
  test(`two pages with the script of ${version} exchange messages, and one sees the other leave`, { timeout: 120_000 }, async (t) => {
    const client_dir = fileURLToPath(new URL(`../node_modules/${scripts}`, import.meta.url));
    const broker = await startBroker({ set: { "socketio.client_dir": client_dir, "page.dir": folder } });
    t.after(() => broker.kill());
    const [a, b] = [await openPage(browser), await openPage(browser)];
    for (const { page } of [a, b]) {
      await page.goto(broker.url);
      await page.waitForFunction(() => window.connected);
    }
    await b.page.evaluate(() => window.call());
    for (const { page } of [a, b]) await page.waitForFunction(() => window.channel?.readyState === "open");
    await a.page.evaluate(() => window.channel.send("hello from a"));
    await b.page.waitForFunction(() => window.heard.includes("hello from a"));
    await b.page.context().close();
    await a.page.waitForFunction(() => window.alone);
    assert.deepEqual(a.complaints, []);
    await a.page.context().close();
  });
}
