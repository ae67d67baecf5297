/**
 * Pages that signal over a WebSocket without a protocol, opened as files: each text goes to the other page through the
 * plain relay, and the pages then exchange data directly.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

/** Runs in the page. The query names the server. An offer and an answer carry all candidates, in one text each. */
function barePage() {
  const socket = new WebSocket(new URLSearchParams(window.location.search).get("server"));
  const pc = new RTCPeerConnection();
  window.heard = [];
  window.types = [];
  const use = (channel) => {
    window.channel = channel;
    channel.onmessage = ({ data }) => window.heard.push(data);
  };
  pc.ondatachannel = ({ channel }) => use(channel);
  pc.onicecandidate = ({ candidate }) => {
    if (!candidate) socket.send(JSON.stringify({ type: pc.localDescription.type, sdp: pc.localDescription.sdp }));
  };
  socket.onopen = () => {
    window.opened = true;
  };
  socket.onmessage = async ({ data }) => {
    const message = JSON.parse(data);
    window.types.push(message.type);
    await pc.setRemoteDescription(message);
    if (message.type === "offer") await pc.setLocalDescription(await pc.createAnswer());
  };
  window.call = async () => {
    use(pc.createDataChannel("chat"));
    await pc.setLocalDescription(await pc.createOffer());
  };
}

const folder = await mkdtemp(join(tmpdir(), "bare-page-"));
after(() => rm(folder, { recursive: true }));
const { broker, browser } = await start({ set: { "relay.enabled": "true" } });

test("two files that use a bare WebSocket connect through the plain relay", { timeout: 120_000 }, async () => {
  const file = join(folder, "page.html");
  await writeFile(file, `<!doctype html><title>bare</title><script>(${barePage})();</script>`);
  const [a, b] = [await openPage(browser), await openPage(browser)];
  for (const { page } of [a, b]) {
    await page.goto(`${pathToFileURL(file)}?server=${broker.socketUrl("relay")}`);
    await page.waitForFunction(() => window.opened);
  }
  await a.page.evaluate(() => window.call());
  for (const { page } of [a, b]) await page.waitForFunction(() => window.channel?.readyState === "open");
  await b.page.evaluate(() => window.channel.send("hello from b"));
  await a.page.waitForFunction(() => window.heard.includes("hello from b"));
  // nobody received their own text
  assert.deepEqual(await a.page.evaluate(() => window.types), ["answer"]);
  assert.deepEqual(await b.page.evaluate(() => window.types), ["offer"]);
  assert.deepEqual([...a.complaints, ...b.complaints], []);
});
