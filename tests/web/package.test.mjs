/** The npm package: packed, unpacked, imported in Node.js and type-checked. */

import assert from "node:assert/strict";
import { mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LICENCES, ROOT, TSC, installPackage, run } from "../package/install.mjs";

/** Node.js has no WebSocket before version 22, so the program provides a transport. */
const CONSUMER = `
import { HandclaspError, Socket } from "handclasp";
import { Peer, createIdentity } from "handclasp/rtc";
import { FileShare, TransferError } from "handclasp/share";
import { webRtcOf } from "handclasp/node";
class Transport {
  constructor() { queueMicrotask(() => this.onopen()); }
  send(frame) {
    const [joinRef, ref, topic] = JSON.parse(frame);
    const reply = JSON.stringify([joinRef, ref, topic, "phx_reply", { status: "ok", response: { peer_id: topic.slice(5) } }]);
    queueMicrotask(() => this.onmessage({ data: reply }));
  }
  close() {}
}
const socket = new Socket("ws://example.test/socket", { transport: Transport });
const peer = new Peer(socket, await createIdentity());
const { peerId } = await peer.join();
const share = new FileShare(peer, new Uint8Array(16));
share.catalogue.add([{ file: new File(["hello"], "hello.txt") }]);
console.log(peerId === peer.id, share.catalogue.entries.length, new TransferError("hash", "x") instanceof HandclaspError, typeof webRtcOf);
peer.close();
socket.disconnect();
`;

const TYPED = `
import { type Channel, type ChannelState, Presence, RefusedError, Socket, type SocketOptions, TokenError, type TokenOption } from "handclasp";
import { type BrokerOptions, type Connection, ConnectionFactory, ConnectionPool, type Identity, Peer, PeerError, createIdentity } from "handclasp/rtc";
import { type BrokerAccess, Download, type DownloadTarget, type Shared, receive, share as shareFiles, FileFetch, FileShare, type FileEntry, MemoryTarget, type RemoteReceiver } from "handclasp/share";
const options: SocketOptions = { params: () => ({ token: "fresh" }) };
const identity: Identity = await createIdentity();
const peer: Peer = new Peer(new Socket("wss://example.test/socket", options), identity);
const connection: Connection = await peer.connect("x", { signal: AbortSignal.timeout(1) });
const pc: RTCPeerConnection = connection.pc;
const pool = new ConnectionPool({ peer });
pool.create("x", (created, error) => console.log(created?.isAvailable(), error?.message, pc));
const brokerOptions: BrokerOptions = { host: "example.test", secure: true };
const factory: ConnectionPool = new ConnectionFactory({ peer: { id: "alice", options: brokerOptions }, connectionPoolSize: 5 });
factory.onopen = (id: string) => console.log(id);
const key = new Uint8Array(16);
const share = new FileShare(peer, key);
share.on("receiver", (receiver: RemoteReceiver) => receiver.cancel());
const fetch = new FileFetch(peer, "x", key);
const target: DownloadTarget = new MemoryTarget();
fetch.on("list", (entries: FileEntry[]) => fetch.add(new Download(entries, target)));
const channel: Channel = new Socket("wss://example.test/socket").channel("room:x");
const state: ChannelState = channel.state;
console.log(state, new PeerError("absent", "x").iceReport?.stun, RefusedError);
const access: BrokerAccess = { transport: WebSocket };
const shared: Shared = await shareFiles([new File([], "x")], { page: "https://example.test/", ...access });
console.log((await receive(shared.link)).entries[0].size);
const typed = new Socket("wss://example.test/socket").channel<{ shout: { text: string } }, { welcome: string }>("room:x");
typed.on("shout", ({ text }) => text.length);
const welcome: string = (await typed.join()).welcome;
const sum: number = (await typed.push<{ sum: number }>("add", { a: 1 })).sum;
const names: string[] = new Presence<{ name: string }>(typed).list().flatMap(({ metas }) => metas.map(({ name }) => name));
console.log(welcome, sum, names);
// @ts-expect-error an event that the server does not send
typed.on("whisper", () => {});
// @ts-expect-error the payload has no such field
typed.on("shout", ({ loudness }) => loudness);
const tokens: TokenOption[] = ["a", () => "a", async ({ signal }) => (signal.aborted ? "" : "a")];
new Socket("wss://example.test/socket", { token: tokens[0] }).on("error", (error) => error instanceof TokenError && error.reason);
// @ts-expect-error a token is a text
new Socket("wss://example.test/socket", { token: 5 });
// @ts-expect-error a pool needs its peer
new ConnectionPool({});
// @ts-expect-error a port is a number or its digits
new ConnectionFactory({ peer: { options: { port: true } } });
// @ts-expect-error an unknown event
peer.on("nonsense", () => {});
// @ts-expect-error internal methods are not in the types
connection.handleSignal("offer", {});
// @ts-expect-error an attempt's id is internal
connection.attempt.length;
`;

const WITHOUT_DOM = `
import { Presence, Socket } from "handclasp";
import { ConnectionFactory, Peer, createIdentity } from "handclasp/rtc";
import { FileShare, MemoryTarget, receive, share } from "handclasp/share";
import { webRtcOf } from "handclasp/node";
const socket = new Socket("wss://example.test/socket", { token: async ({ signal }) => (signal ? "a" : "") });
const peer = new Peer(socket, await createIdentity());
const { maxMessageBytes } = await peer.join();
const fileShare = new FileShare(peer, new Uint8Array(16));
export default [maxMessageBytes, fileShare.receivers, new Presence(socket.channel("room:x")).list(), ConnectionFactory, MemoryTarget, receive, share];
await share("a text", { createConnection: webRtcOf({}) });
// @ts-expect-error an id is a text
await peer.connect(5);
`;

/** @type {string} a folder with the package installed in it */
let folder;

let remove = async () => {};

before(async () => {
  ({ folder, remove } = await installPackage());
});

after(() => remove());

/** @param {string[]} files */
async function typeCheck(files) {
  for (const modules of ["--module esnext --moduleResolution bundler", "--module nodenext --moduleResolution nodenext"]) {
    const flags = `--noEmit --strict --target es2023 ${modules} --lib es2023,dom --types`.split(" ");
    const { stdout } = await run(TSC, [...files, ...flags, ""], { cwd: folder }).catch((error) => error);
    assert.equal(stdout, "", modules);
  }
}

test("the package holds the library and its types, and nothing else", async () => {
  const installed = await readdir(join(folder, "node_modules/handclasp"), { recursive: true });
  const sources = (await readdir(join(ROOT, "web/lib"), { recursive: true })).filter((name) => name.endsWith(".js"));
  const types = installed.filter((name) => name.endsWith(".d.ts"));
  const folders = (/** @type {string[]} */ files) => files.flatMap((file) => file.split("/").slice(0, -1).map((_, at, names) => names.slice(0, at + 1).join("/")));
  const files = [...sources, ...types, ...LICENCES, "README.md", "package.json"];
  assert.deepEqual(installed.sort(), [...new Set([...files, ...folders(files)])].sort());
  for (const face of ["index", "rtc/index", "share/index", "cli/node-webrtc"]) assert.ok(types.includes(`types/${face}.d.ts`), face);
  const { dependencies, name } = JSON.parse(await readFile(join(folder, "node_modules/handclasp/package.json"), "utf8"));
  assert.deepEqual([name, dependencies], ["handclasp", undefined]);
});

test("only the entry points can be imported", async () => {
  await writeFile(join(folder, "internal.mjs"), 'await import("handclasp/rtc/signaling.js");');
  await assert.rejects(run(process.execPath, ["internal.mjs"], { cwd: folder }), /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

test("the command names all packages that have to be installed, in one line", async () => {
  const link = `http://127.0.0.1:1/?peer_id=${"0".repeat(8)}-0000-8000-8000-${"0".repeat(12)}#k=${"A".repeat(22)}`;
  const command = join(folder, "node_modules/handclasp/cli/handclasp.js");
  const { stdout, stderr, code } = await run(command, ["get", link], { cwd: folder }).catch((error) => error);
  assert.deepEqual([stdout, code], ["", 1]);
  const packages = globalThis.WebSocket ? "@roamhq/wrtc" : "@roamhq/wrtc ws";
  assert.match(stderr, new RegExp(`^To transfer files, .*: npm install ${packages} \\(.*\n$`));
});

test("Node.js imports all entry points, and a socket works over the program's transport", async () => {
  await writeFile(join(folder, "consumer.mjs"), CONSUMER);
  const { stdout } = await run(process.execPath, ["consumer.mjs"], { cwd: folder });
  assert.equal(stdout, "true 1 true function\n");
});

test("a strict TypeScript program type-checks against the package", async () => {
  await writeFile(join(folder, "consumer.ts"), TYPED);
  await typeCheck(["consumer.ts"]);
});

test("a program without TypeScript's DOM library type-checks, with and without the types of Node.js", async () => {
  await writeFile(join(folder, "without-dom.ts"), WITHOUT_DOM);
  const types = join(folder, "node_modules/@types");
  await mkdir(types);
  await symlink(join(ROOT, "tests/node_modules/@types/node"), join(types, "node"));
  for (const used of ["", "node"]) {
    const flags = "--noEmit --strict --target es2023 --module nodenext --lib es2023 --types".split(" ");
    const { stdout } = await run(TSC, ["without-dom.ts", ...flags, used], { cwd: folder }).catch((error) => error);
    assert.equal(stdout, "", used);
  }
});

test("the examples of the README type-check", async () => {
  const readme = await readFile(join(ROOT, "web/lib/README.md"), "utf8");
  const examples = Array.from(readme.matchAll(/^```js\n(.*?)^```$/gms), ([, code]) => code);
  assert.ok(examples.length >= 4);
  const files = examples.map((_, at) => `example-${at}.ts`);
  await Promise.all(examples.map((code, at) => writeFile(join(folder, files[at]), code)));
  await typeCheck(files);
});
