/** `handclasp send` with limits, over the real broker: for one download, and until a time. */

import assert from "node:assert/strict";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import wrtc from "@roamhq/wrtc";
import WebSocket from "ws";
import { webRtcOf } from "../../web/lib/cli/node-webrtc.js";
import { receive } from "../../web/lib/share/index.js";
import { startBroker } from "../broker.mjs";
import { installCommand } from "../command.mjs";

const broker = await startBroker();
after(() => broker.kill());
const { folder, run } = await installCommand();

/**
 * @param {string[]} paths
 * @param {string[]} options
 */
async function send(paths, options) {
  const command = run(["send", ...paths, "--broker", broker.url, ...options]);
  const [link] = (await command.said("out", /\n/)).split("\n");
  return { ...command, link };
}

/** @param {string} name @param {Record<string, string>} files */
async function makeFolder(name, files) {
  await mkdir(join(folder, name));
  for (const [path, content] of Object.entries(files)) await writeFile(join(folder, name, path), content);
}

test("with --once, the sender ends with the first receiver that is done, and with its result", async () => {
  await makeFolder("once", { "a.txt": "a", "b.txt": "b" });
  for (const [code, last] of /** @type {const} */ ([[0, /1 receiver has all that it chose\.\n$/], [1, /1 has only a part\.\n$/]])) {
    const sender = await send(["once"], ["--once"]);
    const list = run(["get", sender.link, "--list"]);
    assert.equal(await list.ended, 0, list.err());
    if (code === 1) await utimes(join(folder, "once/a.txt"), 1, 1);
    const getter = run(["get", sender.link, "--out", `once-${code}`]);
    assert.equal(await getter.ended, code, getter.err());
    await sender.said("err", last);
    assert.equal(await sender.ended, code, sender.err());
  }
  const changed = await send(["once/a.txt"], ["--once"]);
  await utimes(join(folder, "once/a.txt"), 2, 2);
  assert.equal(await run(["get", changed.link, "--out", "once-none"]).ended, 1);
  await changed.said("err", /1 has only a part/);
  assert.equal(await changed.ended, 1, changed.err());
  const sender = await send(["once"], ["--once"]);
  sender.kill("SIGINT");
  assert.equal(await sender.ended, 130);
});

test("with --expires, the sender ends after that time, with --once with code 1 if nobody was done", async () => {
  await makeFolder("expires", { "a.txt": "a" });
  for (const [code, args] of /** @type {const} */ ([[0, []], [1, ["--once"]]])) {
    const sender = await send(["expires"], ["--expires", "1s", ...args]);
    assert.equal(await sender.ended, code, sender.err());
    assert.match(sender.err(), /, for 0:01 at most\./);
  }
  const used = await send(["expires"], ["--expires", "1h", "--once"]);
  const getter = run(["get", used.link, "--out", "expires-got"]);
  assert.equal(await getter.ended, 0, getter.err());
  assert.equal(await used.ended, 0, used.err());
  for (const time of ["", "0s", "1", "366d", "1h30m", "-1s"]) {
    const refused = run(["send", "expires", `--expires=${time}`, "--broker", broker.url]);
    assert.equal(await refused.ended, 2, time);
    assert.match(refused.err(), /--expires takes a time/);
  }
});

test("with --once, a receiver that downloads nothing keeps others out only for the time of --idle", { timeout: 120_000 }, async () => {
  await makeFolder("idle", { "a.txt": "a" });
  const sender = await send(["idle"], ["--once", "--idle", "20s"]);
  const idle = await receive(sender.link, { transport: WebSocket, createConnection: webRtcOf(wrtc) });
  after(() => idle.stop());
  const getter = run(["get", sender.link, "--out", "idle-got"]);
  await getter.said("err", /serving its maximum number of receivers/);
  assert.equal(await getter.ended, 0, getter.err());
  assert.equal(await sender.ended, 0, sender.err());
  const alone = run(["send", "idle", "--idle", "2s", "--broker", broker.url]);
  assert.equal(await alone.ended, 2);
  assert.match(alone.err(), /--idle needs --once/);
});
