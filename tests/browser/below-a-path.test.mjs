/** The app in a real Chromium, where nginx serves the broker below a path of a host. */

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startNginxBelow } from "../proxies.mjs";
import { openPage } from "./chromium.mjs";
import { connect, download, share } from "./app-steps.mjs";
import { visit, withoutDisk } from "./real-files.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start({ flags: ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"] });
const proxy = await startNginxBelow(broker.port, "/share/");
after(() => proxy.close());

test("a file arrives, also through the service worker, and the link has the path", async () => {
  const bytes = Buffer.from("below a path");
  const sharer = await share(browser, proxy.url, [{ name: "a.txt", bytes }]);
  assert.ok(sharer.link.startsWith(`${proxy.url}?peer_id=`), sharer.link);
  const receiver = await connect(browser, sharer.link);
  assert.deepEqual((await download(receiver.page)).bytes, bytes);

  const full = await visit(browser, sharer.link, withoutDisk);
  assert.deepEqual((await download(full.page)).bytes, bytes);
  await full.page.goto(new URL("download/3f0c", proxy.url).href);
  await full.page.getByText("This download is over").waitFor();
  assert.equal(full.page.url(), `${proxy.url}?download_over`);
  assert.deepEqual([...sharer.complaints, ...receiver.complaints, ...full.complaints], []);
});

test("the examples find the broker", async () => {
  for (const name of ["call", "room"]) {
    const { page, complaints } = await openPage(browser);
    const opened = page.waitForEvent("websocket");
    await page.goto(new URL(`examples/${name}.html`, proxy.url).href);
    for (const input of await page.getByRole("textbox").all()) if (await input.isEditable()) await input.fill("any");
    await page.getByRole("button", { name: /^(Start|Join)/ }).click();
    assert.ok((await opened).url().startsWith(`${proxy.url.replace("http", "ws")}socket/websocket`), (await opened).url());
    assert.deepEqual(complaints, []);
  }
});
