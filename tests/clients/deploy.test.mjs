/** The files of config/deploy/cluster: the compose files, and what they start, as far as it can run without Docker. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { LongPoll, Socket } from "phoenix";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { startBroker } from "../broker.mjs";
import { NATS } from "../engines.mjs";
import { startBalancer } from "../proxies.mjs";
import { ok, until } from "./await.mjs";
import { connectHttp2 } from "./http2.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const FOLDER = path("../../config/deploy/cluster");
const BINARY = process.env.HANDCLASP_BIN ?? path("../../target/debug/handclasp");
/** Where `make python` installs what requirements.txt locks. */
const PROGRAMS = dirname(process.env.CLIENTS_PYTHON ?? path("../../target/python/bin/python3"));
const FILES = ["redis.yaml", "nats.yaml"];
const LIMIT = { timeout: 20_000 };
/** A compose file as JSON, with its anchors resolved. */
const TO_JSON = "import json, sys; from ruamel.yaml import YAML; json.dump(YAML(typ='safe').load(open(sys.argv[1])), sys.stdout)";

/** What each test has opened; closed after it, the last one first. */
const opened = [];
const open = (thing, close) => (opened.push(() => close(thing)), thing);

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** Runs a program, which must succeed, and returns what it prints to stdout. */
async function run(program, args, env = {}) {
  const options = { ...LIMIT, env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, ...env } };
  const { stdout } = await promisify(execFile)(program, args, options);
  return stdout;
}

/** The values of .env.example, with a password for each that has none. */
async function variables() {
  const lines = (await readFile(join(FOLDER, ".env.example"), "utf8")).split("\n");
  const pairs = lines.filter((line) => line && !line.startsWith("#")).map((line) => line.split("="));
  return Object.fromEntries(pairs.map(([name, value], n) => [name, value || `${n}`.repeat(64)]));
}

const VARIABLE = /\$\{(\w+)(?::[-?][^}]*)?\}/g;

/** The environment of a service. */
async function environment(file, service) {
  const { services } = JSON.parse(await run(join(PROGRAMS, "python3"), ["-c", TO_JSON, join(FOLDER, file)]));
  const values = await variables();
  const fill = (text) => String(text).replace(VARIABLE, (_all, name) => values[name]);
  return Object.fromEntries(Object.entries(services[service].environment).map(([name, text]) => [name, fill(text)]));
}

test("the compose files have the form of the Compose Specification", async () => {
  const files = FILES.map((file) => join(FOLDER, file));
  await run(join(PROGRAMS, "check-jsonschema"), ["--builtin-schema", "vendor.compose-spec", ...files]);
});

test(".env.example names every variable of the compose files, and no others", async () => {
  const used = new Set();
  for (const file of FILES) {
    const text = await readFile(join(FOLDER, file), "utf8");
    for (const [, name] of text.matchAll(VARIABLE)) used.add(name);
  }
  assert.deepEqual(Object.keys(await variables()).sort(), [...used].sort());
});

for (const file of FILES) {
  test(`${file}: the configuration of each node is valid`, async () => {
    for (const node of ["node1", "node2", "node3"]) {
      const env = await environment(file, node);
      assert.equal(env.HANDCLASP_CLUSTER_NODE, node);
      assert.match(await run(BINARY, ["check", "--listen", "0.0.0.0:4000"], env), /^ok\n/);
    }
  });
}

test("the configuration of each NATS server is valid", async () => {
  for (const server of ["nats1", "nats2", "nats3"]) {
    await run(NATS, ["-t", "-c", join(FOLDER, "nats.conf")], await environment("nats.yaml", server));
  }
});

test("the balancer's configuration is valid", async () => {
  await run("haproxy", ["-c", "-q", "-f", join(FOLDER, "haproxy.cfg")]);
});

/** Three nodes that are no cluster, so that a client whose requests go to several nodes gets no answer. */
async function balanced() {
  const set = { "server.trusted_proxies": "127.0.0.1" };
  const brokers = await Promise.all([1, 2, 3].map(() => startBroker({ set })));
  for (const broker of brokers) open(broker, (it) => it.kill());
  return { brokers, proxy: open(await startBalancer(brokers.map(({ port }) => port)), (it) => it.close()) };
}

/** Each address of a client has a node of its own. */
const ADDRESSES = Array.from({ length: 8 }, (_, n) => `127.0.0.${n + 10}`);

test("the balancer keeps long-polling clients with their node", async () => {
  const { proxy } = await balanced();
  const before = globalThis.fetch;
  open(before, () => (globalThis.fetch = before));
  for (const localAddress of ADDRESSES) {
    const { fetch } = open(await connectHttp2(proxy, { localAddress }), ({ session }) => session.destroy());
    globalThis.fetch = fetch;
    const socket = open(new Socket(proxy.socketUrl("socket"), { transport: LongPoll }), (it) => it.disconnect());
    socket.connect();
    const channel = socket.channel("room:r", {});
    await ok(channel.join());
    for (let n = 0; n < 5; n++) await ok(channel.push("said", { n }));
    socket.disconnect();
  }
});

test("the balancer keeps Socket.IO clients with their node, also while they upgrade", async () => {
  const { proxy } = await balanced();
  for (const transports of [["polling"], ["polling", "websocket"]]) {
    const options = { transports, ca: proxy.ca, forceNew: true, reconnection: false };
    const socket = open(io(proxy.url, options), (it) => it.close());
    for (let n = 0; n < 5; n++) assert.deepEqual(await socket.timeout(10_000).emitWithAck("join", { room: "r" }), {});
    await until(() => socket.io.engine.transport.name === transports.at(-1), `${transports}`);
  }
});

test("the balancer passes WebSockets to all nodes, and to those that are left when one has gone", async () => {
  const { brokers, proxy } = await balanced();
  const connect = async () => {
    const client = open(new WebSocket(`${proxy.socketUrl("socket")}/websocket?vsn=2.0.0`, { ca: proxy.ca }), (it) => it.terminate());
    const status = await new Promise((resolve) => {
      client.on("open", () => resolve(101)).on("error", () => resolve(0));
      client.on("unexpected-response", (_request, { statusCode }) => resolve(statusCode));
    });
    return { status, closed: new Promise((resolve) => client.on("close", resolve)) };
  };
  const clients = await Promise.all(Array.from({ length: 6 }, connect));
  assert.deepEqual(clients.map(({ status }) => status), Array(6).fill(101));
  let closed = 0;
  for (const client of clients) client.closed.then(() => closed++);
  for (const [n, broker] of brokers.entries()) {
    await broker.kill();
    await until(() => closed === 2 * (n + 1), "two clients of each node");
    const expected = n < 2 ? 101 : 503;
    await until(async () => (await connect()).status === expected, `${expected}`);
  }
});
