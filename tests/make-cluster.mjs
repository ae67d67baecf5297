/** `make cluster`: three nodes behind a balancer, until Ctrl-C. */

import { parseArgs } from "node:util";
import { Cluster } from "./cluster.mjs";
import { ENGINES } from "./engines.mjs";

const NODES = 3;
/** Per node: enough for a demonstration, and within the limit of file descriptors on most machines. */
const CONNECTIONS = 2_000;
const { values } = parseArgs({ options: { engine: { type: "string", default: "redis" }, port: { type: "string", default: "4000" } } });

/** @param {string} message */
function fail(message) {
  console.error(message);
  process.exit(1);
}

const port = Number(values.port);
if (!ENGINES.includes(values.engine)) fail(`ENGINE is ${values.engine}, and must be ${ENGINES.join(" or ")}`);
if (!(Number.isInteger(port) && port >= 0 && port < 65_536)) fail(`PORT is ${values.port}, and must be a number from 0 to 65535`);

const cluster = new Cluster((name, line) => console.log(`${name.padEnd(8)} | ${line}`));
let isStopping = false;
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.on(signal, async () => {
    isStopping = true;
    await cluster.close();
    process.exit();
  });
}

try {
  await cluster.start({ engine: values.engine, nodes: NODES, port, set: { "server.connections": CONNECTIONS } });
} catch (error) {
  if (isStopping) await new Promise(() => {}); // the signal's handler exits
  await cluster.close();
  fail(`\n${error.message}\nEverything that had started was stopped.`);
}

const { url, nodes, engine } = cluster;
const row = (name, { url, pid }) => `  ${name}  ${url.padEnd(26)} to stop it: kill -9 ${pid}`;
console.log(`
Three nodes work as one broker. Open their balancer:

  ${url}

Each connection goes to the next node:

${nodes.map((node, n) => row(`node-${n + 1}`, node)).join("\n")}
${row(values.engine.padEnd(6), engine)}

WebSockets work through the balancer, which passes TCP connections on. Long-polling clients make a connection for each
request, and would need sticky sessions: connect them to the address of a node. See web/docs/cluster.md.

Ctrl-C stops everything. The log follows.
`);
