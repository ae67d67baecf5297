/** HAProxy as a plain TCP balancer: each connection goes to the next node that is ready, and stays with it. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const HOST = "127.0.0.1";
/** Each takes two file descriptors. */
const CONNECTIONS = 2_000;
/** How long a failed balancer may take to end, in milliseconds. */
const END_TIMEOUT = 1_000;

/** @param {import("./broker.mjs").Broker[]} nodes */
const configuration = (nodes) => `
global
    maxconn ${CONNECTIONS}
defaults
    mode tcp
    timeout connect 1s
    timeout client 90s
    timeout server 90s
    option redispatch 1
    retries 3
listen nodes
    bind fd@3
    balance roundrobin
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost
    default-server check inter 500ms fall 1 rise 1
${nodes.map(({ port }, n) => `    server node-${n + 1} ${HOST}:${port}`).join("\n")}
`;

/**
 * @param {import("./broker.mjs").Broker[]} nodes
 * @param {number} port 0: a free one
 * @param {import("./broker.mjs").Spawn} spawn
 * @param {string} folder for its configuration
 * @returns {Promise<{url: string, port: number}>}
 */
export async function startTcpBalancer(nodes, port, spawn, folder) {
  const file = join(folder, "haproxy.cfg");
  await writeFile(file, configuration(nodes));
  // it gets a socket that listens already, so no other program can take its port, and no client comes too early
  const listener = createServer().listen(port, HOST);
  await once(listener, "listening");
  const own = /** @type {import("node:net").AddressInfo} */ (listener.address()).port;
  const child = spawn("haproxy", ["-db", "-f", file], { stdio: ["ignore", "pipe", "pipe", listener._handle.fd] });
  await once(child, "spawn");
  listener.close();
  const url = `http://${HOST}:${own}/`;
  const ended = once(child, "exit").then(([code]) => assert.fail(`haproxy ended (exit code ${code})`));
  ended.catch(() => {}); // what ends later is in the log
  const response = await fetch(new URL("readyz", url)).catch((error) => Promise.race([ended, sleep(END_TIMEOUT, error)]));
  assert.equal(response.status, 200, "it finds no node");
  return { url, port: own };
}
