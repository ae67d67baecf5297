/** Starts the real binary for a test, on a free port, and stops it afterwards. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BINARY = process.env.HANDCLASP_BIN ?? fileURLToPath(new URL("../target/debug/handclasp", import.meta.url));
/** Built beside it: `cargo build --examples`. */
const CONFORMANCE = join(dirname(BINARY), "examples/phoenix_conformance");
const START_TIMEOUT = 20_000;

/**
 * @typedef {object} Broker
 * @property {string} url the page's address, with a slash at the end
 * @property {(mount: string) => string} socketUrl `ws://host:port/<mount>`
 * @property {number} port
 * @property {() => Promise<void>} kill ends it with SIGKILL and waits until it is gone
 */

/**
 * @param {object} [options]
 * @param {number} [options.port] default: one that is free
 * @param {string} [options.host] the address it listens on
 * @param {string[]} [options.enter] arguments before its command, which start it elsewhere
 * @param {Record<string, string | number>} [options.set] configuration keys
 * @returns {Promise<Broker>} when it serves
 */
export function startBroker({ port = 0, host = "127.0.0.1", enter = [], set = {} } = {}) {
  const settings = Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  return start(BINARY, ["serve", "--listen", `${host}:${port}`, ...settings], enter);
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
 * @param {string[]} [enter] arguments before the command
 * @returns {Promise<Broker>}
 */
async function start(binary, args, enter = []) {
  await access(binary).catch(() => assert.fail(`no binary at ${binary}: build it, or set HANDCLASP_BIN`));
  const [program, ...words] = [...enter, binary, ...args];
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const url = new URL(await pageAddress(child, exited));
  return {
    url: url.href,
    socketUrl: (mount) => `ws://${url.host}/${mount}`,
    port: Number(url.port),
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/**
 * @param {import("node:child_process").ChildProcessByStdio<null, import("node:stream").Readable, null>} child
 * @param {Promise<any[]>} exited
 * @returns {Promise<string>} the first http address that it prints
 */
async function pageAddress(child, exited) {
  const late = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT);
  let said = "";
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      said += `${line}\n`;
      const address = /http:\/\/[^\s/]+/.exec(line)?.[0];
      if (address) return address;
    }
  } finally {
    clearTimeout(late);
  }
  const [code, signal] = await exited;
  return assert.fail(`broker ended (${code ?? signal}) before it said where it serves: ${said}`);
}
