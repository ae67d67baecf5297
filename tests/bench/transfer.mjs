/**
 * Speed of a transfer between two Chromiums with the library, compared with a bare data channel with
 * messages of the same size: `node bench/transfer.mjs --mb=500 --rounds=3`. The library reads a real file
 * from the disk; the bare channel sends one buffer repeatedly.
 */

import { MB, fetch, median, openLibrary, option, share, withWorld } from "./pages.mjs";

const GOAL = 0.9;
const size = option("mb", 500) * MB;
const rounds = option("rounds", 3); // a multiple of 3 has each way as often in each place

/** @typedef {import("playwright-core").Page} Page */

/**
 * @param {Page} sender
 * @param {Page} receiver
 * @returns {Promise<number>} seconds from asking to the last byte
 */
async function bare(sender, receiver) {
  const describe = (/** @type {Page} */ page, /** @type {string} */ remote) => page.evaluate(async (remote) => {
    if (!window.bare) {
      window.bare = new RTCPeerConnection();
      window.channel = window.bare.createDataChannel("bare", { negotiated: true, id: 0 });
      window.channel.binaryType = "arraybuffer";
    }
    const { bare } = window;
    if (remote) await bare.setRemoteDescription(JSON.parse(remote));
    if (bare.signalingState === "stable" && remote && bare.localDescription) return "";
    await bare.setLocalDescription();
    while (bare.iceGatheringState !== "complete") await new Promise((resolve) => (bare.onicegatheringstatechange = resolve));
    return JSON.stringify(bare.localDescription);
  }, remote);
  await describe(sender, await describe(receiver, await describe(sender, "")));
  await sender.evaluate((size) => {
    const { channel } = window;
    const message = new Uint8Array(64 * 1024);
    let left = size;
    const send = () => {
      for (; left > 0 && channel.bufferedAmount + message.length <= 256 * 1024; left -= message.length) channel.send(message);
    };
    channel.bufferedAmountLowThreshold = 128 * 1024;
    channel.onbufferedamountlow = send;
    channel.onmessage = send;
  }, size);
  const seconds = await receiver.evaluate(async (size) => {
    const { channel } = window;
    if (channel.readyState !== "open") await new Promise((resolve) => (channel.onopen = resolve));
    const begun = performance.now();
    let due = size;
    channel.send("go");
    await new Promise((resolve) => {
      channel.onmessage = ({ data }) => (due -= data.byteLength) <= 0 && resolve(undefined);
    });
    return (performance.now() - begun) / 1_000;
  }, size);
  for (const page of [sender, receiver]) await page.evaluate(() => window.bare.close());
  return seconds;
}

/** @type {Record<string, (sender: Page, receiver: Page, path: string) => Promise<number>>} */
const WAYS = {
  "bare channel": bare,
  "library, null sink": async (sender, receiver, path) => fetch(receiver, await share(sender, path), "nothing"),
  "library, OPFS": async (sender, receiver, path) => fetch(receiver, await share(sender, path), "disk"),
};

await withWorld(size, async ({ broker, browsers, path }) => {
  /** @type {Map<string, number[]>} MB/s */
  const speeds = new Map(Object.keys(WAYS).map((way) => [way, []]));
  for (let round = 0; round < rounds; round++) {
    // Each round starts with another target, so that none is always measured after the same one, with its memory and disk usage.
    const ways = Object.entries(WAYS);
    for (const [way, run] of [...ways.slice(round % ways.length), ...ways.slice(0, round % ways.length)]) {
      const [sender, receiver] = await Promise.all(browsers.map((browser) => openLibrary(browser, broker.url)));
      speeds.get(way)?.push(size / MB / (await run(sender, receiver, path)));
    }
  }
  const base = speeds.get("bare channel") ?? [];
  console.log(`${size / MB} MB, ${rounds} rounds, MB/s; ratio: median of the ratios of each round`);
  for (const [way, all] of speeds) {
    const ratio = median(all.map((speed, round) => speed / base[round]));
    const figures = all.map((speed) => speed.toFixed(1).padStart(6)).join(" ");
    console.log(`${way.padEnd(20)} ${figures}   median ${median(all).toFixed(1).padStart(6)}   ${ratio.toFixed(2)} of the bare channel`);
  }
  console.log(`goal: ${GOAL} of the bare channel`);
});
