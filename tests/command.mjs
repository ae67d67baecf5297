/** Installs the library's command beside the packages that it needs, and runs it. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

const LIBRARY = fileURLToPath(new URL("../web/lib", import.meta.url));
const PACKAGES = dirname(dirname(createRequire(import.meta.url).resolve("ws/package.json")));
const LIMIT = 60_000;

/**
 * @typedef {object} Command under way
 * @property {() => string} out what it has written to standard output
 * @property {() => string} err and to standard error
 * @property {(what: "out" | "err", text: RegExp) => Promise<string>} said resolves when the output matches
 * @property {(what: "out" | "err") => void} close stops reading what it writes there
 * @property {(signal: NodeJS.Signals) => void} kill
 * @property {Promise<number | string>} ended with the exit code, or the signal
 */

/**
 * @typedef {object} RunOptions
 * @property {Record<string, string>} [env]
 * @property {string} [input] what it reads from standard input
 * @property {boolean} [hasTerminal] all of its output goes to a terminal of 100 columns, and is read as `out`
 */

/**
 * @returns {Promise<{folder: string, modules: string, run: (args: string[], options?: RunOptions) => Command}>}
 *   folder: for files, gone after the tests; modules: the library's own, as installed
 */
export async function installCommand() {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-command-"));
  const modules = join(folder, "node_modules/handclasp");
  await mkdir(modules, { recursive: true });
  await cp(LIBRARY, modules, { recursive: true });
  for (const name of ["@roamhq", "ws"]) await symlink(join(PACKAGES, name), join(folder, "node_modules", name));
  /** @type {Set<Command>} */
  const running = new Set();
  after(async () => {
    for (const command of running) command.kill("SIGKILL");
    await Promise.all(Array.from(running, ({ ended }) => ended));
    await rm(folder, { recursive: true, force: true });
  });
  return {
    folder,
    modules,
    run(args, { env = {}, input, hasTerminal = false } = {}) {
      const words = [process.execPath, join(modules, "cli/handclasp.js"), ...args];
      const command = start(hasTerminal ? inTerminal(words) : words, { cwd: folder, env: { ...process.env, ...env } }, input);
      running.add(command);
      return command;
    },
  };
}

/** @param {string[]} words @returns {string[]} words that run them in a terminal */
function inTerminal(words) {
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  return ["script", "-qefc", `stty cols 100; exec ${quoted}`, "/dev/null"];
}

/**
 * @param {string[]} words
 * @param {import("node:child_process").SpawnOptions} options
 * @param {string} [input]
 * @returns {Command}
 */
function start([program, ...args], options, input) {
  const child = spawn(program, args, { ...options, stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"] });
  child.stdin?.end(input);
  const written = { out: "", err: "" };
  const streams = { out: child.stdout, err: child.stderr };
  for (const what of /** @type {const} */ (["out", "err"])) {
    streams[what].setEncoding("utf8").on("data", (text) => (written[what] += text));
  }
  const ended = once(child, "close").then(([code, signal]) => code ?? signal);
  return {
    out: () => written.out,
    err: () => written.err,
    async said(what, text) {
      const signal = AbortSignal.timeout(LIMIT);
      while (!text.test(written[what])) {
        const isOver = await Promise.race([ended.then(() => true), once(streams[what], "data", { signal }).then(() => false)]);
        if (isOver && !text.test(written[what])) assert.fail(`it ended without ${text}: ${written.out}${written.err}`);
      }
      return written[what];
    },
    close: (what) => void streams[what].destroy(),
    kill: (signal) => void child.kill(signal),
    ended,
  };
}
