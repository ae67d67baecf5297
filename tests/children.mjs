/** The processes of a cluster. They end with it, and at the latest with the process that started them. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

/** Linux kills the process when its parent ends, whatever ends it. Other systems have no such program. */
const ENTER = process.platform === "linux" ? ["setpriv", "--pdeathsig", "KILL"] : [];
/** Debian's servers are where an ordinary user's PATH does not lead. */
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
/** How long the last line of a process may take to come after its end, in milliseconds. */
const LINE_TIMEOUT = 1_000;

/** @typedef {(name: string, line: string) => void} Log what a process says, line by line */

export class Children {
  /** @type {Set<import("node:child_process").ChildProcess>} */
  #running = new Set();
  /** @type {Map<string, {ended: Promise<unknown>, line: string}>} of each name: its end, and its last line */
  #last = new Map();
  /** @type {Log} */
  #log;

  /** @param {Log} log */
  constructor(log) {
    this.#log = log;
  }

  /**
   * What starts a process of this name, as `spawn` does. Ctrl-C reaches this process alone, which then ends the others.
   *
   * @param {string} name
   * @returns {import("./broker.mjs").Spawn}
   */
  spawnAs = (name) => (program, words, { stdio: [, , , ...inherited] = [], env = process.env }) => {
    const [first, ...rest] = [...ENTER, program, ...words];
    const child = spawn(first, rest, { stdio: ["ignore", "pipe", "pipe", ...inherited], env: { ...env, PATH }, detached: true });
    const last = { ended: once(child, "close"), line: "" };
    this.#running.add(child);
    this.#last.set(name, last);
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on("line", (line) => this.#log(name, (last.line = line)));
    }
    child.once("close", (code, signal) => {
      if (this.#running.delete(child)) this.#log(name, `ended: ${signal ?? `exit code ${code}`}`);
    });
    return child;
  };

  /**
   * @param {string} name of a process that did not start
   * @returns {Promise<string>} the last line that it has said
   */
  async lastLine(name) {
    const last = this.#last.get(name);
    await Promise.race([last?.ended, sleep(LINE_TIMEOUT, undefined, { ref: false })]);
    return last?.line ?? "";
  }

  /** Kills all and waits until they are gone. */
  async end() {
    const running = [...this.#running];
    this.#running.clear();
    await Promise.all(running.map(async (child) => {
      const gone = child.exitCode === null && child.signalCode === null && once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }));
  }
}
