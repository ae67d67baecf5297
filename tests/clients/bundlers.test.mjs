/** Programs that use the npm package, at the real broker: one in strict TypeScript, built by the usual bundlers, and one in Node.js. */

import assert from "node:assert/strict";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { after, before, test } from "node:test";
import { build as esbuild } from "esbuild";
import { build as vite } from "vite";
import webpack from "webpack";
import { WebSocket } from "ws";
import { startBroker } from "../broker.mjs";
import { TSC, installPackage, run } from "../package/install.mjs";

const PROGRAM = `
import { Socket, type SocketOptions } from "handclasp";
import { Peer, createIdentity } from "handclasp/rtc";
import { FileShare, openTarget, readLink } from "handclasp/share";

/** Joins, and returns whether the broker has confirmed the id that this program has made. */
export async function run(url: string, transport: SocketOptions["transport"]): Promise<boolean> {
  const socket = new Socket(url, { transport });
  const peer = new Peer(socket, await createIdentity());
  const { peerId } = await peer.join();
  const share = new FileShare(peer, new Uint8Array(16));
  share.catalogue.add([{ file: new File(["hello"], "hello.txt") }]);
  const hasAll = share.catalogue.entries.length === 1 && readLink(new URL("https://example.test/")) === "none" && typeof openTarget === "function";
  peer.close();
  socket.disconnect();
  return hasAll && peerId === peer.id;
}
`;

const { resolve } = createRequire(import.meta.url);
/** Shares a text and receives it. It prints what has arrived. */
const NODE_PROGRAM = `
import wrtc from ${JSON.stringify(pathToFileURL(resolve("@roamhq/wrtc")).href)};
import WebSocket from ${JSON.stringify(pathToFileURL(resolve("ws")).href)};
import { webRtcOf } from "handclasp/node";
import { receive, share } from "handclasp/share";
const access = { transport: WebSocket, createConnection: webRtcOf(wrtc) };
const { link } = await share([new File(["hello"], "hello.txt")], { page: process.argv[2], ...access });
const { files } = await (await (await receive(link, access)).download()).finished;
console.log(await files[0].blob.text());
process.exit(0);
`;

/** What a program says to TypeScript, and where the compiled program is. */
const COMPILERS = {
  nodenext: ["--module", "nodenext", "--moduleResolution", "nodenext"],
  bundler: ["--module", "esnext", "--moduleResolution", "bundler"],
};

/** Each builds the entry into the folder \`out\`, and returns the file with the program. */
const BUNDLERS = {
  async esbuild(/** @type {string} */ entry, /** @type {string} */ out) {
    const outfile = join(out, "program.js");
    await esbuild({ entryPoints: [entry], bundle: true, format: "esm", outfile, logLevel: "error" });
    return outfile;
  },
  async vite(/** @type {string} */ entry, /** @type {string} */ out) {
    const lib = { entry, formats: /** @type {["es"]} */ (["es"]), fileName: "program" };
    await vite({ root: out, configFile: false, logLevel: "error", build: { lib, outDir: join(out, "dist"), emptyOutDir: true } });
    return join(out, "dist/program.js");
  },
  async webpack(/** @type {string} */ entry, /** @type {string} */ out) {
    const compiler = webpack({
      mode: "production",
      entry,
      target: ["web", "es2022"],
      experiments: { outputModule: true },
      output: { path: out, filename: "program.js", library: { type: "module" }, publicPath: "" },
    });
    const stats = await new Promise((resolve, reject) => compiler.run((error, result) => (error ? reject(error) : resolve(result))));
    assert.deepEqual(stats.toJson({ all: false, errors: true, warnings: true }).errors, []);
    return join(out, "program.js");
  },
};

/** @type {string} */
let folder;
/** @type {import("../broker.mjs").Broker} */
let broker;
let remove = async () => {};

before(async () => {
  ({ folder, remove } = await installPackage());
  broker = await startBroker();
  await writeFile(join(folder, "program.ts"), PROGRAM);
});

after(async () => {
  await broker?.kill();
  await remove();
});

/** @param {string} file a built program */
async function joins(file) {
  const program = await import(pathToFileURL(file).href);
  return program.run(broker.socketUrl("socket"), WebSocket);
}

for (const [name, words] of Object.entries(COMPILERS)) {
  test(`TypeScript compiles it in strict mode with the module resolution ${name}`, async () => {
    const out = join(folder, `compiled-${name}`);
    const flags = ["--strict", "--target", "es2022", "--lib", "es2023,dom", "--types", "", "--outDir", out];
    const { stdout } = await run(TSC, ["program.ts", ...words, ...flags], { cwd: folder }).catch((error) => error);
    assert.equal(stdout, "");
    assert.equal(await joins(join(out, "program.js")), true);
  });
}

test("a program in Node.js shares and receives with the package and its WebRTC", { timeout: 60_000 }, async () => {
  await writeFile(join(folder, "node-program.mjs"), NODE_PROGRAM);
  const { stdout } = await run(process.execPath, ["node-program.mjs", broker.url], { cwd: folder, timeout: 50_000 });
  assert.equal(stdout, "hello\n");
});

for (const [name, build] of Object.entries(BUNDLERS)) {
  test(`${name} builds it, and it joins`, async () => {
    const out = join(folder, name);
    await mkdir(out);
    const entry = join(folder, "entry.js");
    await writeFile(entry, 'export { run } from "./compiled-bundler/program.js";\n');
    assert.equal(await joins(await build(entry, out)), true);
    if (name === "esbuild") return; // it leaves the URLs of workers as they are
    const built = (await readdir(out, { recursive: true })).filter((file) => file.endsWith(".js"));
    const texts = await Promise.all(built.map((file) => readFile(join(out, file), "utf8")));
    assert.ok(texts.some((text) => text.includes("createSyncAccessHandle")), `no worker among ${built.join(", ")}`);
  });
}
