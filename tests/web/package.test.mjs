/** The npm package as its users get it: packed, unpacked, imported under node and type-checked. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LICENCES = ["LICENSE-APACHE", "LICENSE-MIT"];
const TSC = join(ROOT, "tests/node_modules/.bin/tsc");

/** Node has no WebSocket before 22: a user brings one. */
const CONSUMER = `
import { Peer, Socket, createIdentity } from "handclasp";
class Transport {
  constructor() { queueMicrotask(() => this.onopen()); }
  send(frame) {
    const [joinRef, ref, topic] = JSON.parse(frame);
    const reply = JSON.stringify([joinRef, ref, topic, "phx_reply", { status: "ok", response: { topic } }]);
    queueMicrotask(() => this.onmessage({ data: reply }));
  }
  close() {}
}
const socket = new Socket("ws://example.test/socket", { transport: Transport });
const peer = new Peer(socket, await createIdentity());
const { topic } = await peer.join();
console.log(topic === "peer:" + peer.id);
peer.close();
socket.disconnect();
`;

const TYPED = `
import { type Connection, ConnectionPool, type Identity, Peer, Socket, type SocketOptions, createIdentity } from "handclasp";
const options: SocketOptions = { params: () => ({ token: "fresh" }) };
const identity: Identity = await createIdentity();
const peer: Peer = new Peer(new Socket("wss://example.test/socket", options), identity);
const connection: Connection = await peer.connect("x", { signal: AbortSignal.timeout(1) });
const pc: RTCPeerConnection = connection.pc;
const pool = new ConnectionPool({ peer });
pool.create("x", (created, error) => console.log(created?.isAvailable(), error?.message, pc));
// @ts-expect-error a pool needs its peer
new ConnectionPool({});
// @ts-expect-error an event that there is not
peer.on("nonsense", () => {});
`;

/** @type {string} a folder with the package installed in it */
let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "handclasp-package-"));
  // Packing writes beside what it packs, and the tree is not the tests' to write to.
  await cp(join(ROOT, "web/lib"), join(folder, "web/lib"), { recursive: true });
  for (const beside of ["tests", ...LICENCES]) await symlink(join(ROOT, beside), join(folder, beside));
  await run("npm", ["pack", "--pack-destination", folder], { cwd: join(folder, "web/lib") });
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  const installed = join(folder, "node_modules/handclasp");
  await mkdir(installed, { recursive: true });
  await run("tar", ["-xzf", join(folder, tarball), "-C", installed, "--strip-components=1"]);
  await writeFile(join(folder, "package.json"), '{"type": "module"}');
});

after(() => rm(folder, { recursive: true, force: true }));

/** @param {string[]} files */
async function typeCheck(files) {
  const flags = "--noEmit --strict --target es2023 --module esnext --moduleResolution bundler --lib es2023,dom --types".split(" ");
  const { stdout } = await run(TSC, [...files, ...flags, ""], { cwd: folder }).catch((error) => error);
  assert.equal(stdout, "");
}

test("the package holds the library and its types, and nothing else", async () => {
  const installed = await readdir(join(folder, "node_modules/handclasp"), { recursive: true });
  const sources = (await readdir(join(ROOT, "web/lib"), { recursive: true })).filter((name) => name.endsWith(".js"));
  const types = installed.filter((name) => name.endsWith(".d.ts"));
  const expected = [...sources, ...types, ...LICENCES, "README.md", "package.json", "types", "cli"];
  assert.deepEqual(installed.sort(), expected.sort());
  assert.ok(types.includes("types/index.d.ts"));
  const { dependencies, name } = JSON.parse(await readFile(join(folder, "node_modules/handclasp/package.json"), "utf8"));
  assert.deepEqual([name, dependencies], ["handclasp", undefined]);
});

test("its command says what has to be installed beside it", async () => {
  const link = `http://127.0.0.1:1/?peer_id=${"0".repeat(8)}-0000-8000-8000-${"0".repeat(12)}#k=${"A".repeat(22)}`;
  const command = join(folder, "node_modules/handclasp/cli/handclasp.js");
  const { stdout, stderr, code } = await run(command, ["get", link], { cwd: folder }).catch((error) => error);
  assert.deepEqual([stdout, code], ["", 1]);
  assert.match(stderr, /npm install (ws|@roamhq\/wrtc)/);
});

test("node imports it, and a socket works over a transport of its user's", async () => {
  await writeFile(join(folder, "consumer.mjs"), CONSUMER);
  const { stdout } = await run(process.execPath, ["consumer.mjs"], { cwd: folder });
  assert.equal(stdout, "true\n");
});

test("a strict TypeScript program type-checks against it", async () => {
  await writeFile(join(folder, "consumer.ts"), TYPED);
  await typeCheck(["consumer.ts"]);
});

test("the examples of its README type-check", async () => {
  const readme = await readFile(join(ROOT, "web/lib/README.md"), "utf8");
  const examples = Array.from(readme.matchAll(/^```js\n(.*?)^```$/gms), ([, code]) => code);
  assert.ok(examples.length >= 4);
  const files = examples.map((_, at) => `example-${at}.ts`);
  await Promise.all(examples.map((code, at) => writeFile(join(folder, files[at]), code)));
  await typeCheck(files);
});
