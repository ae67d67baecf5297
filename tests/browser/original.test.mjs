/**
 * The page of the original file-share system, of 2015, served from `page.dir`: an inline script, Phoenix's client with
 * V1 frames, the sockets `/ws` and `/peer`, and whole descriptions instead of candidates. Written from its messages.
 */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBroker } from "../broker.mjs";
import { launch, openPage } from "./chromium.mjs";

const CLIENT = fileURLToPath(new URL("../node_modules/phoenix/priv/static/phoenix.js", import.meta.url));

/** Runs in the page: it shares a text if its link names no peer, and otherwise receives it. */
function share() {
  const sharerId = /[?&]peer_id=([^&]+)/.exec(location.search)?.[1];
  // today's client sends the frames of 2015 if it is told how
  const v1 = {
    vsn: "1.0.0",
    encode: ({ topic, event, payload, ref }, send) => send(JSON.stringify({ topic, event, payload, ref })),
    decode: (text, receive) => receive(JSON.parse(text)),
  };
  const show = (text) => {
    document.querySelector("#log").textContent += `${text}\n`;
  };

  const register = (use) => {
    const socket = new window.Phoenix.Socket("/ws", v1);
    socket.connect();
    const match = socket.channel("broker:match", {});
    match.on("registered", ({ id }) => {
      match.leave();
      use(id);
    });
    match.join().receive("ok", () => match.push("register", {}));
  };

  /** Sends a description when it is whole, as simple-peer does with `trickle: false`. */
  const whenWhole = (pc, send) => {
    pc.onicecandidate = ({ candidate }) => candidate === null && send(pc.localDescription.toJSON());
  };
  const use = (channel) => {
    channel.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      show(`${message.type}: ${message.text ?? ""}`);
      if (message.type === "file_chunk") channel.send(JSON.stringify({ type: "file_segment_ack" }));
    };
  };

  const serve = (peer, id) => {
    const connections = {};
    peer.on("peer_connect", async ({ peer_id }) => {
      const pc = (connections[peer_id] = new RTCPeerConnection());
      const channel = pc.createDataChannel("file");
      use(channel);
      channel.onopen = () => channel.send(JSON.stringify({ type: "file_chunk", text: "hello from 2015" }));
      whenWhole(pc, (offer) => peer.push("offer", { offer, peer_id, sender_id: id }));
      await pc.setLocalDescription(await pc.createOffer());
    });
    peer.on("answer", ({ answer, peer_id }) => connections[peer_id].setRemoteDescription(answer));
  };

  const visit = (peer, id) => {
    peer.on("error_connect", (payload) => show(`error_connect: ${payload.id}`));
    peer.on("offer", async ({ offer, peer_id }) => {
      const pc = (window.pc = new RTCPeerConnection());
      pc.ondatachannel = ({ channel }) => use(channel);
      whenWhole(pc, (answer) => peer.push("answer", { answer, peer_id, sender_id: id }));
      await pc.setRemoteDescription(offer);
      await pc.setLocalDescription(await pc.createAnswer());
    });
    peer.push("connect", { peer_id: sharerId, sender_id: id });
  };

  register((id) => {
    const socket = new window.Phoenix.Socket("/peer", v1);
    socket.connect();
    const peer = socket.channel(`peer:${id}`, {});
    if (!sharerId) serve(peer, id);
    peer.join().receive("ok", () => {
      if (sharerId) visit(peer, id);
      else document.querySelector("a").href = `/?peer_id=${id}`;
    });
  });
}

const INDEX = `<!doctype html><title>file share</title><link rel="icon" href="data:,">
<a style="color: red">link</a><pre id="log"></pre><script src="/phoenix.js"></script><script>(${share})();</script>`;

const folder = await mkdtemp(join(tmpdir(), "original-"));
await writeFile(join(folder, "index.html"), INDEX);
await copyFile(CLIENT, join(folder, "phoenix.js"));
const browser = await launch();

after(async () => {
  await browser.close();
  await rm(folder, { recursive: true });
});

/**
 * @param {import("node:test").TestContext} t
 * @param {Record<string, string>} [set] configuration keys
 */
async function serve(t, set) {
  const broker = await startBroker({ set: { "page.dir": folder, ...set } });
  t.after(() => broker.kill());
  return broker;
}

/** Waits until the page has logged a line. */
const logged = (page, line) =>
  page.waitForFunction((line) => document.querySelector("#log").textContent.split("\n").includes(line), line);

test("two tabs connect through the page's inline script, and exchange data", { timeout: 120_000 }, async (t) => {
  const { url } = await serve(t);
  const [sharer, visitor] = [await openPage(browser), await openPage(browser)];
  await sharer.page.goto(url);
  const link = await sharer.page.waitForFunction(() => document.querySelector("a").href);
  await visitor.page.goto(await link.jsonValue());
  await logged(visitor.page, "file_chunk: hello from 2015");
  await logged(sharer.page, "file_segment_ack: ");
  assert.deepEqual([...sharer.complaints, ...visitor.complaints], []);
  for (const { page } of [sharer, visitor]) await page.context().close();
});

test("the page shows that a sharer is gone", { timeout: 120_000 }, async (t) => {
  const { url } = await serve(t);
  const { page, complaints } = await openPage(browser);
  const absent = randomUUID();
  await page.goto(`${url}?peer_id=${absent}`);
  await logged(page, `error_connect: ${absent}`);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("a policy that is set applies to the page", { timeout: 120_000 }, async (t) => {
  const { url } = await serve(t, { "page.content_security_policy": "script-src 'self'" });
  const { page, complaints } = await openPage(browser);
  await page.goto(url);
  assert.match(complaints.join(), /inline script.*Content Security Policy/);
  await page.context().close();
});
