/** A server for each engine of a cluster, on a free port of this machine. They keep nothing after their end. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const HOST = "127.0.0.1";
/** Where `make engine-nats` installs NATS. */
export const NATS = process.env.NATS_SERVER ?? fileURLToPath(new URL("../target/nats/2.15.1/bin/nats-server", import.meta.url));
/** How often a server is started on another port, if another process has taken the first one meanwhile. */
const ATTEMPTS = 3;
const START_TIMEOUT = 10_000;

/**
 * @typedef {object} Engine
 * @property {string} url for `cluster.urls`
 * @property {number} pid
 */
/** @typedef {(port: number, folder: string) => [program: string, words: string[]]} Command */

/** @type {Record<string, {command: Command, greeting: string}>} */
const SERVERS = {
  redis: {
    command: (port, folder) => [
      "redis-server",
      ["--bind", HOST, "--port", `${port}`, "--dir", folder, "--save", "", "--appendonly", "no", "--loglevel", "warning"],
    ],
    greeting: "PING\r\n",
  },
  nats: {
    command: (port, folder) => [NATS, ["--addr", HOST, "--port", `${port}`, "--jetstream", "--store_dir", folder]],
    greeting: "",
  },
};

export const ENGINES = Object.keys(SERVERS);

/**
 * @param {string} name one of `ENGINES`
 * @param {import("./broker.mjs").Spawn} spawn
 * @param {string} folder for its files
 * @returns {Promise<Engine>} when it answers
 */
export async function startEngine(name, spawn, folder) {
  const { command, greeting } = SERVERS[name];
  await mkdir(join(folder, name));
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const [program, words] = command(port, join(folder, name));
    const child = spawn(program, words, {});
    await once(child, "spawn");
    if (await answers(child, port, greeting)) return { url: `${name}://${HOST}:${port}`, pid: child.pid };
    const end = child.exitCode === null ? `does not answer within ${START_TIMEOUT / 1000} s` : `ended (exit code ${child.exitCode})`;
    assert.ok(attempt < ATTEMPTS && child.exitCode === 1, `${program} ${end}`);
  }
}

/** Waits until a server sends something. `false` if it has ended, or sends nothing in time. */
async function answers(child, port, greeting) {
  const end = performance.now() + START_TIMEOUT;
  while (child.exitCode === null && child.signalCode === null && performance.now() < end) {
    const socket = connect(port, HOST, () => socket.write(greeting));
    const heard = await Promise.race([
      new Promise((resolve) => socket.once("data", () => resolve(true)).once("close", () => resolve(false)).on("error", () => {})),
      sleep(1_000, false),
    ]);
    socket.destroy();
    if (heard) return true;
    await sleep(20);
  }
  return false;
}

async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}
