/** The command `handclasp` with the app in a real Chromium. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { installCommand } from "../command.mjs";
import { connect, download, share } from "./app-steps.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
const { folder, run } = await installCommand();

test("the command downloads from a page, and the page shows that it is done", async () => {
  const bytes = randomBytes(9_000_000);
  const sharer = await share(browser, broker.url, [{ name: "data.bin", bytes }, { name: "empty", bytes: Buffer.alloc(0) }]);
  const getter = run(["get", sharer.link, "--out", "from-page"]);
  assert.equal(await getter.ended, 0, getter.err());
  assert.deepEqual(await readFile(join(folder, "from-page/data.bin")), bytes);
  assert.equal((await readFile(join(folder, "from-page/empty"))).length, 0);
  await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).waitFor();
  assert.deepEqual(sharer.complaints, []);
});

test("a page downloads from the command, and the command reports that it is done", async () => {
  const bytes = randomBytes(9_000_000);
  await writeFile(join(folder, "data.bin"), bytes);
  const sender = run(["send", "data.bin", "--broker", broker.url]);
  const [link] = (await sender.said("out", /\n/)).split("\n");
  const receiver = await connect(browser, link);
  const saved = await download(receiver.page);
  assert.deepEqual([saved.name, saved.bytes.equals(bytes)], ["data.bin", true]);
  await sender.said("err", /Receiver 1 is done: 9\.0 MB/);
  assert.deepEqual(receiver.complaints, []);
});
