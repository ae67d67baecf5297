/** `make cluster`: the script that it runs, with the binary under test. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Socket } from "phoenix";
import WebSocket from "ws";
import { ENGINES } from "../engines.mjs";
import { ok, until } from "./await.mjs";

const SCRIPT = fileURLToPath(new URL("../make-cluster.mjs", import.meta.url));
/** Limit of a test, in milliseconds. */
const LIMIT = { timeout: 60_000 };

/** Runs the script with a temporary folder of its own. */
async function run(t, words) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-demo-"));
  const child = spawn(process.execPath, [SCRIPT, ...words], { env: { ...process.env, TMPDIR: folder }, detached: true });
  const ended = once(child, "close");
  const demo = { child, ended, folder, said: "" };
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (demo.said += text));
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true });
  });
  return demo;
}

/** The processes that the script has started, and that are running. */
async function processesOf({ child }) {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")));
  const parents = stats.map((stat) => Number(stat.slice(stat.lastIndexOf(")")).split(" ")[2]));
  return pids.filter((_, n) => parents[n] === child.pid).map(Number);
}

/** Ends the script as a terminal does, and looks for what it has left. */
async function pressCtrlC(demo) {
  const pids = await processesOf(demo);
  process.kill(-demo.child.pid, "SIGINT");
  assert.deepEqual(await demo.ended, [0, null]);
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" }, `process ${pid}`);
  assert.deepEqual(await readdir(demo.folder), []);
}

async function connect(t, url) {
  const socket = new Socket(new URL("socket", url).href.replace("http", "ws"), { transport: WebSocket });
  t.after(() => socket.disconnect());
  socket.connect();
  const channel = socket.channel(`peer:${randomUUID()}`);
  const { peer_id: id } = await ok(channel.join());
  return { channel, id };
}

for (const engine of ENGINES) {
  test(`three nodes on ${engine} come up, clients of the balancer signal each other, and Ctrl-C ends all`, LIMIT, async (t) => {
    const demo = await run(t, ["--engine", engine, "--port", "0"]);
    await until(() => demo.said.includes("Ctrl-C") || demo.child.exitCode !== null, "the addresses");
    const [url, ...nodes] = [...demo.said.matchAll(/^ +(?:node-\d +)?(http:\S+)/gm)].map(([, url]) => url);
    assert.equal(nodes.length, 3, demo.said);
    assert.equal((await processesOf(demo)).length, 5, "the engine, three nodes, the balancer");
    const clients = [await connect(t, url), await connect(t, url), await connect(t, url)];
    for (const [n, { channel }] of clients.entries()) {
      const { channel: other, id } = clients[(n + 1) % clients.length];
      const heard = new Promise((resolve) => other.on("offer", resolve));
      assert.deepEqual(await ok(channel.push("offer", { peer_id: id, n })), {});
      assert.deepEqual(await heard, { peer_id: clients[n].id, n });
    }
    await pressCtrlC(demo);
  });
}

test("Ctrl-C while it starts ends all", LIMIT, async (t) => {
  const demo = await run(t, ["--port", "0"]);
  await until(async () => (await processesOf(demo)).length > 0, "the first server");
  await pressCtrlC(demo);
});

test("if a part does not start, it says which and why, and ends the others", LIMIT, async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  t.after(() => taken.close());
  const { port } = taken.address();
  const demo = await run(t, ["--port", `${port}`]);
  assert.deepEqual(await demo.ended, [1, null]);
  assert.match(demo.said, new RegExp(`balancer did not start: listen EADDRINUSE: address already in use 127.0.0.1:${port}\n`));
  assert.deepEqual(await readdir(demo.folder), []);
});
