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

test("two people see each other by a link, and one of them hangs up", async () => {
  const host = await open(`${broker.url}examples/call.html`);
  await host.page.getByRole("button", { name: "Start" }).click();
  await host.page.getByText("Waiting for the other person").waitFor();
  const guest = await open(await host.page.getByLabel("Send this link").inputValue());
  await guest.page.getByRole("button", { name: "Start" }).click();
  await Promise.all([pictures(host.page, 1), pictures(guest.page, 1)]);
  await inspect(host.page, "example-call");
  await guest.page.getByRole("button", { name: "Hang up" }).click();
  await host.page.getByText("The other person has left").waitFor();
  await pictures(host.page, 0);
  assert.deepEqual([...host.complaints, ...guest.complaints], []);
});

test("the link of a closed page shows that the other person is not online", async () => {
  const guest = await open(`${broker.url}examples/call.html?peer_id=11111111-1111-4111-8111-111111111111`);
  await guest.page.getByRole("button", { name: "Start" }).click();
  await guest.page.getByText("The other person is not online").waitFor();
});

test("three people in a room see each other; one leaves, disappears for the others, and comes back", async () => {
  const enter = async (name) => {
    const visitor = await open(`${broker.url}examples/room.html?room=lounge`);
    await visitor.page.getByLabel("Your name").fill(name);
    await visitor.page.getByRole("button", { name: "Join with camera" }).click();
    return visitor;
  };
  const [a, b, c] = await Promise.all(["Ann", "<b>Bob</b>", "Cleo"].map(enter));
  await Promise.all([a, b, c].map(({ page }) => pictures(page, 2)));
  await inspect(a.page, "example-room");
  await a.page.getByText("<b>Bob</b>", { exact: true }).waitFor();
  await c.page.close();
  await Promise.all([a, b].map(({ page }) => pictures(page, 1)));
  await b.page.getByText("Here: you and 1 more.").waitFor();
  const again = await enter("Cleo");
  await Promise.all([a, b, again].map(({ page }) => pictures(page, 2)));
  assert.deepEqual([a, b, c, again].flatMap(({ complaints }) => complaints), []);
});
