/** Starts the real binary for a test, on a free port, and stops it afterwards. */

import assert from "node:assert/strict";
import * as childProcess from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { certificateFiles } from "./certificate.mjs";

export const BINARY = process.env.HANDCLASP_BIN ?? fileURLToPath(new URL("../target/debug/handclasp", import.meta.url));
/** Built beside it: `cargo build --examples`. */
const CONFORMANCE = join(dirname(BINARY), "examples/phoenix_conformance");
const START_TIMEOUT = 60_000;
/** The folder of a certificate: all brokers use it, and their clients must trust it. Tests that pass without TLS also pass with it. */
export const TLS_FOLDER = process.env.BROKER_TLS;
/** What schemes of URLs end with. */
export const SECURE = TLS_FOLDER === undefined ? "" : "s";

/**
 * @typedef {object} Broker
 * @property {string} url the page's address, with a slash at the end
 * @property {(mount: string) => string} socketUrl `ws://host:port/<mount>`, or `wss:`
 * @property {() => string} said what it has printed
 * @property {number} port
 * @property {number} pid
 * @property {() => Promise<void>} kill ends it with SIGKILL and waits until it is gone
 */
/** @typedef {(program: string, words: string[], options: childProcess.SpawnOptions) => childProcess.ChildProcess} Spawn */

/**
 * @param {object} [options]
 * @param {number} [options.port] default: one that is free
 * @param {string} [options.host] the address it listens on
 * @param {string[]} [options.enter] arguments before its command, which start it elsewhere
 * @param {Record<string, string | number>} [options.set] configuration keys
 * @param {NodeJS.ProcessEnv} [options.env] its environment
 * @param {Spawn} [options.spawn] what starts the process
 * @returns {Promise<Broker>} when it serves
 */
export function startBroker({ port = 0, host = "127.0.0.1", enter = [], set = {}, env, spawn } = {}) {
  const settings = Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  return start(BINARY, ["serve", "--listen", `${host}:${port}`, ...certificateOptions(), ...settings], { enter, env, spawn });
}

function certificateOptions() {
  if (TLS_FOLDER === undefined) return [];
  const { cert, key } = certificateFiles(TLS_FOLDER);
  return ["--tls-cert", cert, "--tls-key", key];
}

/**
 * The server of Phoenix's own integration tests: mounts `ws`, `ws/admin` and more, no page.
 *
 * @returns {Promise<Broker>} when it serves
 */
export function startConformance() {
  return start(CONFORMANCE, ["0"]);
}

/**
 * @param {string} binary
 * @param {string[]} args
 * @param {{enter?: string[], env?: NodeJS.ProcessEnv, spawn?: Spawn}} [options] as those of `startBroker`
 * @returns {Promise<Broker>}
 */
async function start(binary, args, { enter = [], env, spawn = childProcess.spawn } = {}) {
  await access(binary).catch(() => assert.fail(`no binary at ${binary}: build it, or set HANDCLASP_BIN`));
  const [program, ...words] = [...enter, binary, ...args];
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"], env });
  const exited = once(child, "exit");
  let said = "";
  child.stdout.on("data", (text) => (said += text));
  const url = new URL(await pageAddress(child, exited));
  return {
    url: url.href,
    socketUrl: (mount) => `${url.protocol.replace("http", "ws")}//${url.host}/${mount}`,
    said: () => said,
    port: Number(url.port),
    pid: child.pid,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/**
 * @param {childProcess.ChildProcess} child
 * @param {Promise<any[]>} exited
 * @returns {Promise<string>} the first http address that it prints
 */
async function pageAddress(child, exited) {
  const late = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT);
  let said = "";
  const lines = createInterface({ input: child.stdout });
  const address = new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      said += `${line}\n`;
      const address = /https?:\/\/[^\s/]+/.exec(line)?.[0];
      if (address) resolve(address);
    });
    lines.on("close", () => exited.then(([code, signal]) => {
      reject(new Error(`broker ended (${code ?? signal}) before it said where it serves: ${said}`));
    }, reject));
  });
  return address.finally(() => clearTimeout(late));
}
