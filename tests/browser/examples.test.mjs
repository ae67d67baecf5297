/** The library's examples with Chromium's fake camera: every side shows the videos of the others, and notices when they leave. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage } from "./chromium.mjs";
import { inspect } from "./page-checks.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start({ flags: ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"] });

/** @param {string} path */
async function open(path) {
  const opened = await openPage(browser);
  await opened.page.goto(path);
  return opened;
}

/** Waits until that many videos of others show one picture after the other. */
async function pictures(page, count) {
  await page.waitForFunction((count) => {
    const others = [...document.querySelectorAll("video")].filter((video) => !video.muted);
    window.firstFrames ??= new Map();
    const moved = others.filter((video) => {
      const frames = video.getVideoPlaybackQuality().totalVideoFrames;
      if (!window.firstFrames.has(video)) window.firstFrames.set(video, frames);
      return frames > window.firstFrames.get(video) + 10;
    });
    return others.length === count && moved.length === count;
  }, count);
}

/** @param {import("playwright-core").Page} page */
const pressStart = (page) => page.getByRole("button", { name: "Start" }).click();

test("the index leads to every example and back", async () => {
  const { page, complaints } = await open(`${broker.url}examples`);
  await inspect(page, "examples");
  for (const name of ["Video call", "Video room"]) {
    await page.getByRole("link", { name }).click();
    await page.getByRole("heading", { level: 1, name }).waitFor();
    await page.getByRole("navigation").getByRole("link", { name: "Examples" }).click();
  }
  await page.getByRole("heading", { level: 1, name: "Examples" }).waitFor();
  assert.deepEqual(complaints, []);
});

test("two people see each other by a link, a third one is refused, and one of them hangs up", async () => {
  const host = await open(`${broker.url}examples/call.html`);
  await pressStart(host.page);
  await host.page.getByText("Waiting for the other person").waitFor();
  await inspect(host.page, "example-call-waiting");
  const link = await host.page.getByLabel("Send this link").inputValue();
  const guest = await open(link);
  await pressStart(guest.page);
  await Promise.all([pictures(host.page, 1), pictures(guest.page, 1)]);
  await inspect(host.page, "example-call");

  const third = await open(link);
  await pressStart(third.page);
  await third.page.getByText("This call has two people already.").waitFor();
  await inspect(third.page, "example-call-full");
  assert.equal(await third.page.getByRole("button", { name: "Start" }).isEnabled(), true);

  await guest.page.getByRole("button", { name: "Hang up" }).click();
  await host.page.getByText("The other person has left. Your link still works.").waitFor();
  await pictures(host.page, 0);
  await pressStart(third.page);
  await Promise.all([pictures(host.page, 1), pictures(third.page, 1)]);
  assert.deepEqual([host, guest, third].flatMap(({ complaints }) => complaints), []);
});

test("a muted microphone and camera send silence and darkness, until they are on again", async () => {
  const host = await open(`${broker.url}examples/call.html`);
  await pressStart(host.page);
  await host.page.getByText("Waiting for the other person").waitFor();
  const guest = await open(await host.page.getByLabel("Send this link").inputValue());
  await pressStart(guest.page);
  await Promise.all([pictures(host.page, 1), pictures(guest.page, 1)]);
  const enabled = () =>
    host.page.evaluate(() => {
      const stream = /** @type {MediaStream} */ (/** @type {HTMLVideoElement} */ (document.querySelector("video.mirrored")).srcObject);
      return stream.getTracks().map(({ kind, enabled }) => [kind, enabled]).sort();
    });
  // What the guest sees of the host: the brightest value in the middle of the picture.
  const isDark = () =>
    guest.page.waitForFunction(() => {
      const video = document.querySelector("video:not(.mirrored)");
      const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
      const context = canvas.getContext("2d");
      context.drawImage(video, 0, 0, 64, 48);
      return context.getImageData(0, 0, 64, 48).data.every((value, at) => at % 4 === 3 || value < 32);
    });
  await host.page.getByRole("button", { name: "Mute microphone" }).click();
  await host.page.getByRole("button", { name: "Turn camera off" }).click();
  assert.deepEqual(await enabled(), [["audio", false], ["video", false]]);
  await isDark();
  await host.page.getByRole("button", { name: "Unmute microphone" }).click();
  await host.page.getByRole("button", { name: "Turn camera on" }).click();
  assert.deepEqual(await enabled(), [["audio", true], ["video", true]]);
});

test("the link of a closed page shows that the other person is not online", async () => {
  const guest = await open(`${broker.url}examples/call.html?peer_id=11111111-1111-4111-8111-111111111111`);
  await pressStart(guest.page);
  await guest.page.getByText("The other person is not online").waitFor();
});

test("who allows no camera reads what to do", async () => {
  const { page } = await openPage(browser);
  await page.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("Permission denied", "NotAllowedError"));
  });
  await page.goto(`${broker.url}examples/room.html`);
  await page.getByLabel("Your name").fill("Ann");
  await page.getByRole("button", { name: "Join with camera" }).click();
  await page.getByText("The browser was not allowed to use camera and microphone.").waitFor();
  assert.equal(await page.getByText("Permission denied").count(), 0);
});

test("three people in a room see each other; one leaves, is named, and comes back by the room's link", async () => {
  const enter = async (name, link = `${broker.url}examples/room.html?room=lounge`) => {
    const visitor = await open(link);
    await visitor.page.getByLabel("Your name").fill(name);
    await visitor.page.getByRole("button", { name: "Join with camera" }).click();
    return visitor;
  };
  const [a, b, c] = await Promise.all(["Ann", "<b>Bob</b>", "Cleo"].map((name) => enter(name)));
  await Promise.all([a, b, c].map(({ page }) => pictures(page, 2)));
  await inspect(a.page, "example-room");
  await a.page.getByText("<b>Bob</b>", { exact: true }).waitFor();
  const link = await a.page.getByLabel("Send this link").inputValue();
  await c.page.close();
  await Promise.all([a, b].map(({ page }) => pictures(page, 1)));
  await b.page.getByText("Cleo has left. Here: you and Ann.").waitFor();
  const again = await enter("Cleo", link);
  await Promise.all([a, b, again].map(({ page }) => pictures(page, 2)));
  await a.page.getByText(/^Here: you, /).waitFor();
  await again.page.close();
  await b.page.close();
  await a.page.getByText(/ left\. You are alone now\./).waitFor();
  assert.deepEqual([a, b, c, again].flatMap(({ complaints }) => complaints), []);
});
