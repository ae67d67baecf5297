/** The examples of the library's README, run in Node.js against a real broker. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import wrtc from "@roamhq/wrtc";
import WebSocket from "ws";
import { Socket } from "../../web/lib/index.js";
import { Peer, createIdentity, namedIdentity } from "../../web/lib/rtc/index.js";
import { webRtcOf } from "../../web/lib/cli/node-webrtc.js";
import { startBroker } from "../broker.mjs";

const run = promisify(execFile);
const LIBRARY = fileURLToPath(new URL("../../web/lib", import.meta.url));
const { resolve } = createRequire(import.meta.url);
/** The id of the other side in the examples. */
const SOMEBODY = "d5b83a07-2f0c-8d2e-9d1b-6a3f6c1f5a10";
/** What Node.js 20 lacks of a browser. */
const PLATFORM = `
import wrtc from ${JSON.stringify(pathToFileURL(resolve("@roamhq/wrtc")).href)};
import WebSocket from ${JSON.stringify(pathToFileURL(resolve("ws")).href)};
import { webRtcOf } from ${JSON.stringify(pathToFileURL(join(LIBRARY, "cli/node-webrtc.js")).href)};
globalThis.WebSocket ??= WebSocket;
const createConnection = webRtcOf(wrtc);
globalThis.RTCPeerConnection = function (config) {
  return createConnection(config);
};
`;
const ENDED = "the example ended";

const broker = await startBroker();
const folder = await mkdtemp(join(tmpdir(), "handclasp-readme-"));
/** @type {Array<() => void>} */
const closers = [];
after(async () => {
  for (const close of closers) close();
  await broker.kill();
  await rm(folder, { recursive: true, force: true });
});
await mkdir(join(folder, "node_modules"));
await symlink(LIBRARY, join(folder, "node_modules/handclasp"));
await writeFile(join(folder, "platform.mjs"), PLATFORM);

/**
 * Somebody to call: greets everybody who connects.
 *
 * @param {import("../../web/lib/rtc/index.js").Identity} identity
 */
async function greeter(identity) {
  const socket = new Socket(broker.socketUrl("socket"), { transport: WebSocket });
  const peer = new Peer(socket, identity, { createConnection: webRtcOf(wrtc) });
  closers.push(() => (peer.close(), socket.disconnect()));
  peer.on("connection", async (connection) => (await connection.opened).send({ type: "welcome" }));
  await peer.join();
  return peer;
}

const somebody = await greeter(await createIdentity());
await greeter(namedIdentity("bob"));

const readme = await readFile(join(LIBRARY, "README.md"), "utf8");
const sections = Array.from(readme.matchAll(/^```js\n(.*?)^```$/gms), ({ 1: code, index }) => ({
  code,
  title: readme.slice(0, index).match(/^#+ (.*)$/gm)?.at(-1) ?? "",
}));

/** What some examples print. */
const PRINTS = /** @type {Record<number, RegExp>} */ ({
  0: /^Mai is here$/m,
  1: /^open http.*\nhello\.txt hello$/m,
  2: /^bob got .*hello/m,
});

for (const [at, { code, title }] of sections.entries()) {
  const needsDocument = code.includes("document.");
  test(`example ${at + 1}, ${title}`, { skip: needsDocument && "needs a document", timeout: 60_000 }, async () => {
    const here = code
      .replaceAll("wss://example.org/socket", broker.socketUrl("socket"))
      .replaceAll("https://example.org/", broker.url)
      .replaceAll('host: "example.org", port: 443, secure: true', `host: "127.0.0.1", port: ${broker.port}, secure: false`)
      .replaceAll(SOMEBODY, somebody.id);
    assert.doesNotMatch(here, /example\.org/);
    const expected = PRINTS[at] ?? /^/;
    // What arrives later is printed before the program ends; the caller's timeout bounds it.
    const end = `
      const isExpected = () => ${expected}.test(printed);
      while (!isExpected()) await new Promise((resolve) => setTimeout(resolve, 10));
      show(${JSON.stringify(ENDED)});
      process.exit(0);`;
    const begin = `let printed = ""; const show = console.log; console.log = (...args) => (show(...args), (printed += args.map((arg) => typeof arg === "string" ? arg : JSON.stringify(arg)).join(" ") + "\\n"));`;
    const file = join(folder, `example-${at}.mjs`);
    await writeFile(file, `${here}\n${end}`.replace(/^((?:import .*\n|import \{[^}]*\} from .*\n)+)/, `$1${begin}\n`));
    const { stdout } = await run(process.execPath, ["--import", join(folder, "platform.mjs"), file], { cwd: folder, timeout: 50_000 });
    assert.match(stdout, new RegExp(`${ENDED}\n$`));
  });
}
