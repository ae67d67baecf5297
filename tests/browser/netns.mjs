/**
 * Networks for tests: machines around one in the middle, each a Linux network namespace. Their links can
 * be unplugged, lose packets, or lead through a NAT router. Needs no root: an ordinary user becomes root
 * of a namespace that is separated from the host's network. Failures contain the output of the program
 * that failed.
 */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/**
 * @typedef {object} Router
 * @property {string} nat nftables statement: "masquerade", "masquerade fully-random"
 * @property {string} [blocks] nftables match of the packets that it drops
 */

/** Where the middle is reached by all. */
export const MIDDLE = "10.77.0.1";
const isRoot = process.getuid?.() === 0;
/** Debian does not put these programs into the path of ordinary users, who may run them nevertheless. */
export const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

/** One namespace, kept by a process that ends with this one. */
export class Machine {
  /** What goes before a command that is to run on this machine. */
  enter;
  #holder;
  /** @type {{above: Machine, port: string, gateway: string} | null} */
  #line = null;

  /** @param {import("node:child_process").ChildProcess} holder */
  constructor(holder) {
    this.#holder = holder;
    const user = isRoot ? [] : ["--user", "--preserve-credentials"];
    this.enter = ["nsenter", `--target=${holder.pid}`, ...user, "--net"];
  }

  /** @param {Machine} [first] of the same network: all of it is one user's */
  static async open(first) {
    const user = isRoot || first ? [] : ["--user", "--map-root-user"];
    const [program, ...words] = [...(first?.enter ?? []), "unshare", ...user, "--net", "sh", "-c", "echo ready && exec cat"];
    const holder = spawn(program, words, { env, stdio: ["pipe", "pipe", "pipe"] });
    let complaint = "";
    holder.stderr.on("data", (text) => (complaint += text));
    const isReady = await Promise.race([once(holder.stdout, "data").then(() => true), once(holder, "close").then(() => false)]);
    assert.ok(isReady, `this test makes network namespaces, and this machine lets nobody but root: ${complaint}`);
    const machine = new Machine(holder);
    // IPv6 would add its own address seconds later, and Chromium aborts its requests when an address appears.
    await machine.run("for all in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $all; done; ip link set lo up");
    return machine;
  }

  /** @param {string} script for sh, run on this machine to its end */
  async run(script) {
    const [program, ...words] = [...this.enter, "sh", "-euc", script];
    await promisify(execFile)(program, words, { env });
  }

  /**
   * Lays a line to the machine above, `eth0` on this one, and sends everything that way.
   *
   * @param {Machine} above
   * @param {string} port its name there
   * @param {string} net the first three numbers of its addresses
   */
  async connect(above, port, net) {
    await above.run(`ip link add ${port} type veth peer name eth0 netns ${this.#holder.pid}
      ip address add ${net}.1/24 dev ${port}; ip link set ${port} up`);
    await this.run(`ip address add ${net}.2/24 dev eth0`);
    this.#line = { above, port, gateway: `${net}.1` };
    await this.plugIn();
  }

  /**
   * Hands on what comes for others.
   *
   * @param {Router} [router] (default: one that changes nothing)
   */
  async route(router) {
    await this.run("echo 1 > /proc/sys/net/ipv4/ip_forward");
    if (!router) return;
    const { nat, blocks } = router;
    // Like any router it takes no calls itself: an early one would occupy the port that the answer needs.
    await this.run(`nft 'table ip nat {
      chain out { type nat hook postrouting priority 100; oifname "eth0" ${nat}; }
      chain in { type filter hook input priority 0; iifname "eth0" ct state new drop; }
      chain through { type filter hook forward priority 0; ${blocks ? `${blocks} drop;` : ""} }
    }'`);
  }

  /** The system and its programs see that the line is gone. */
  async pullOut() {
    await this.run("ip link set eth0 down");
  }

  async plugIn() {
    await this.run(`ip link set eth0 up; ip route replace default via ${this.#line?.gateway}`);
  }

  /** Drops packets silently, in both directions. @param {number} percent */
  async lose(percent) {
    const table = (/** @type {string} */ device) => `nft 'table netdev loss_${device} {
      chain in { type filter hook ingress device "${device}" priority 0; numgen random mod 100 >= ${100 - percent} drop; } ; }'`;
    await this.run(table("eth0"));
    await this.#line?.above.run(table(this.#line.port));
  }

  async loseNothing() {
    await this.run("nft delete table netdev loss_eth0");
    await this.#line?.above.run(`nft delete table netdev loss_${this.#line.port}`);
  }

  async end() {
    const gone = once(this.#holder, "close");
    this.#holder.kill("SIGKILL");
    await gone;
  }
}

/**
 * Two machines that reach each other, and the middle, by way of the middle. One that is behind a router of its
 * own cannot be connected to first.
 *
 * @param {Array<Router | null>} [routers] of the two machines
 */
export async function openNetwork(routers = []) {
  /** @type {Machine[]} */
  const machines = [];
  const add = async () => {
    machines.push(await Machine.open(machines[0]));
    return machines[machines.length - 1];
  };
  const end = () => Promise.all(machines.map((machine) => machine.end()));
  try {
    const middle = await add();
    // Packets to unknown addresses are dropped, as in the internet: an error would end coturn's sessions.
    await middle.run(`ip address add ${MIDDLE}/32 dev lo
      ip link add rest type veth peer name nowhere
      ip link set rest arp off up; ip link set nowhere up; ip route add default dev rest`);
    await middle.route();
    const [a, b] = [await add(), await add()];
    for (const [at, machine] of [a, b].entries()) {
      const router = routers[at];
      const outside = router ? await add() : machine;
      await outside.connect(middle, `line${at}`, `10.77.${at + 1}`);
      if (!router) continue;
      await outside.route(router);
      await machine.connect(outside, "inside", `192.168.${at + 1}`);
    }
    return { middle, a, b, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/**
 * A program that runs another one on a machine, for callers that need a path and add arguments.
 *
 * @param {Machine} machine
 * @param {string} program
 * @returns {Promise<{path: string, remove: () => Promise<void>}>}
 */
export async function programOn(machine, program) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  const path = join(folder, "program");
  await writeFile(path, `#!/bin/sh\nexec ${machine.enter.join(" ")} ${program} "$@"\n`, { mode: 0o755 });
  return { path, remove: () => rm(folder, { recursive: true }) };
}
