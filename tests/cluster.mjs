/** Several nodes, their engine, and a balancer in front of them, on free ports. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startBroker } from "./broker.mjs";
import { startTcpBalancer } from "./balancer.mjs";
import { Children } from "./children.mjs";
import { startEngine } from "./engines.mjs";

const READY_TIMEOUT = 20_000;

export class Cluster {
  /** @type {import("./broker.mjs").Broker[]} */
  nodes = [];
  /** @type {import("./engines.mjs").Engine} */
  engine;
  /** The balancer's address, with a slash at the end. */
  url = "";
  #children;
  #folder = "";

  /** @param {import("./children.mjs").Log} [log] */
  constructor(log = () => {}) {
    this.#children = new Children(log);
  }

  /**
   * @param {object} [options]
   * @param {string} [options.engine] one of `ENGINES`
   * @param {number} [options.nodes] how many
   * @param {number} [options.port] of the balancer; default: a free one
   * @param {Record<string, string | number>} [options.set] configuration keys of the nodes
   * @returns {Promise<this>} when all nodes are ready
   */
  async start({ engine = "redis", nodes = 2, port = 0, set = {} } = {}) {
    const { spawnAs } = this.#children;
    this.#folder = await mkdtemp(join(tmpdir(), "handclasp-cluster-"));
    this.engine = await this.#part(engine, startEngine(engine, spawnAs(engine), this.#folder));
    const settings = { "cluster.engine": engine, "cluster.urls": this.engine.url, ...set };
    const env = { ...process.env, HANDCLASP_CLUSTER_SECRET: randomBytes(32).toString("base64url") };
    const start = async (name) => {
      const node = await startBroker({ set: { ...settings, "cluster.node": name }, env, spawn: spawnAs(name) });
      await untilReady(node);
      return node;
    };
    const names = Array.from({ length: nodes }, (_, n) => `node-${n + 1}`);
    this.nodes = await Promise.all(names.map((name) => this.#part(name, start(name))));
    ({ url: this.url } = await this.#part("balancer", startTcpBalancer(this.nodes, port, spawnAs("balancer"), this.#folder)));
    return this;
  }

  /** `ws://host:port/<mount>` of the balancer. */
  socketUrl = (/** @type {string} */ mount) => `ws://${new URL(this.url).host}/${mount}`;

  /**
   * @param {string} name
   * @param {Promise<T>} started
   * @returns {Promise<T>} rejects with the part's name, why it did not start, and its last line
   * @template T
   */
  async #part(name, started) {
    try {
      return await started;
    } catch (cause) {
      const line = await this.#children.lastLine(name);
      throw new Error(`${name} did not start: ${cause.message}${line && `\n${line}`}`, { cause });
    }
  }

  /** Kills all processes, and removes their files. */
  async close() {
    await this.#children.end();
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }
}

/** @param {import("./broker.mjs").Broker} node */
async function untilReady({ url }) {
  const end = performance.now() + READY_TIMEOUT;
  for (;;) {
    const response = await fetch(new URL("readyz", url));
    if (response.ok) return;
    const why = (await response.text()).trim();
    if (performance.now() > end) throw new Error(`not ready within ${READY_TIMEOUT / 1000} s: ${why}`);
    await sleep(20);
  }
}
