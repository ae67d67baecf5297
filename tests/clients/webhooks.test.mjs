/**
 * Webhooks against the verifiers of Standard Webhooks in JavaScript and Python, and the receivers of the documentation, as
 * they stand there.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, createServer as createProbe } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Webhook } from "standardwebhooks";
import WebSocket from "ws";
import { startBroker } from "../broker.mjs";
import { CLIENTS, disconnect } from "./phoenix-clients.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
/** Of an environment with what requirements.txt locks. */
const PYTHON = process.env.CLIENTS_PYTHON ?? path("../../target/python/bin/python3");
const SECRETS = ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "YW5vdGhlciBzZWNyZXQgb2YgYXQgbGVhc3QgMjQgYnl0ZXM="].map((key) => `whsec_${key}`);
const OTHER = `whsec_${Buffer.from("a secret that the node does not have").toString("base64")}`;
const ID = "00000000-0000-4000-8000-000000000001";
const LIMIT = { timeout: 60_000 };
const { Socket } = CLIENTS["1.8"];

/** @type {Array<() => unknown>} */
const ends = [];

before(() => access(PYTHON).catch(() => assert.fail(`no Python at ${PYTHON}: \`make python\` installs it with the clients`)));
after(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A node that sends its events to `url`. */
async function broker(url, set = {}) {
  const secrets = `[${SECRETS.map((secret) => `"${secret}"`)}]`;
  const grace = { "webhooks.grace_period": "0s", "webhooks.batch_interval": "10ms" };
  const node = await startBroker({ set: { "webhooks.url": url, "webhooks.secrets": secrets, ...grace, ...set } });
  ends.push(() => node.kill());
  return node;
}

/** A client that has joined these topics. */
async function client(node, ...topics) {
  const socket = new Socket(node.socketUrl("socket"), { transport: WebSocket });
  ends.push(() => disconnect(socket));
  socket.connect();
  for (const topic of topics) {
    await new Promise((resolve, reject) => {
      socket.channel(topic).join().receive("ok", resolve).receive("error", reject);
    });
  }
  return socket;
}

/** A request of a real node with the event of a peer: what its receiver gets. */
async function request() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ends.push(() => server.close());
  const found = new Promise((resolve) => {
    server.on("request", async (incoming, response) => {
      let body = "";
      for await (const chunk of incoming.setEncoding("utf8")) body += chunk;
      response.writeHead(204).end();
      if (body.includes("peer_up")) resolve({ headers: incoming.headers, body });
    });
  });
  const node = await broker(`http://127.0.0.1:${server.address().port}/hooks`);
  await client(node, `peer:${ID}`);
  return await found;
}

/** A body with one bit changed, which is still JSON. */
const changed = (body) => body.replace('"peer_up"', '"peer_uq"');

test("the JavaScript verifier accepts a request by either secret, and no other one", LIMIT, async (t) => {
  const { headers, body } = await request();
  for (const secret of SECRETS) {
    const { events } = /** @type {any} */ (new Webhook(secret).verify(body, headers));
    assert.ok(events.some(({ type, peer }) => type === "peer_up" && peer === ID));
    assert.throws(() => new Webhook(secret).verify(changed(body), headers), /No matching signature/);
    const elsewhere = { ...headers, "webhook-id": `${headers["webhook-id"]}0` };
    assert.throws(() => new Webhook(secret).verify(body, elsewhere), /No matching signature/);
  }
  assert.throws(() => new Webhook(OTHER).verify(body, headers), /No matching signature/);
  assert.equal(String(headers["webhook-signature"]).split(" ").length, 2);
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 6 * 60_000 });
  assert.throws(() => new Webhook(SECRETS[0]).verify(body, headers), /too old/);
});

test("the Python verifier accepts a request by either secret, and no other one", LIMIT, async () => {
  const { headers, body } = await request();
  const verifier = spawn(PYTHON, [path("webhooks.py")], { stdio: ["pipe", "pipe", "inherit"] });
  ends.push(() => verifier.kill("SIGKILL"));
  const results = createInterface({ input: verifier.stdout })[Symbol.asyncIterator]();
  const verify = async (secret, text, later = false) => {
    verifier.stdin.write(`${JSON.stringify({ secret, headers, body: text, later })}\n`);
    return (await results.next()).value;
  };
  for (const secret of SECRETS) {
    assert.equal(await verify(secret, body), "ok");
    assert.equal(await verify(secret, changed(body)), "No matching signature found");
    assert.equal(await verify(secret, body, true), "Message timestamp too old");
  }
  assert.equal(await verify(OTHER, body), "No matching signature found");
});

async function freePort() {
  const probe = createProbe().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** Posts until the receiver listens, and returns the status. */
async function post(url, body) {
  for (;;) {
    try {
      const headers = { "webhook-id": "a", "webhook-timestamp": `${Math.floor(Date.now() / 1000)}`, "webhook-signature": "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" };
      return (await fetch(url, { method: "POST", headers, body })).status;
    } catch (error) {
      if (/** @type {any} */ (error).cause?.code !== "ECONNREFUSED") throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** A connection that has sent this much of a request whose signature is not known yet. */
function sends(port, length, body) {
  const socket = connect(port, "127.0.0.1");
  ends.push(() => socket.destroy());
  socket.on("error", () => {});
  socket.resume();
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
  socket.write(body);
  return socket;
}

for (const [language, program, name] of /** @type {const} */ ([
  ["js", process.execPath, "receiver.mjs"],
  ["python", PYTHON, "receiver.py"],
])) {
  test(`the receiver of the documentation in ${name} counts peers, and refuses what is not signed`, LIMIT, async () => {
    const page = await readFile(path("../../web/docs/webhooks.md"), "utf8");
    const code = page.split(`\`\`\`${language}\n`)[1].split("```")[0];
    const folder = await mkdtemp(join(tmpdir(), "handclasp-webhooks-"));
    ends.push(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, name), code);
    const port = await freePort();
    const env = { ...process.env, PORT: `${port}`, WEBHOOK_SECRET: SECRETS[1] };
    const receiver = spawn(program, [join(folder, name)], { env, stdio: ["ignore", "pipe", "ignore"] });
    ends.push(() => receiver.kill("SIGKILL"));
    const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
    /** Reads until it has counted this many peers. */
    const count = async (expected) => {
      for (;;) {
        const { value, done } = await lines.next();
        assert.ok(!done, "the receiver runs");
        if (value === `${expected}`) return;
      }
    };
    const url = `http://127.0.0.1:${port}/`;
    assert.equal(await post(url, '{"events": []}'), 401);
    assert.equal((await fetch(url, { method: "POST", body: "{}" })).status, 401, "without a signature");
    // one breaks off, one never ends, and one is too large
    const broken = sends(port, 100, "{");
    await once(broken, "connect");
    await new Promise((resolve) => setImmediate(resolve));
    broken.resetAndDestroy();
    await once(sends(port, 100, "{"), "connect");
    const large = sends(port, 200_000_000, Buffer.alloc(2_000_000));
    await new Promise((resolve) => large.once("close", resolve));
    const node = await broker(url, { "cluster.node": "a" });
    const topics = [1, 2].map((n) => `peer:${ID.slice(0, -1)}${n}`);
    const [first] = [await client(node, topics[0]), await client(node, topics[1])];
    await count(2);
    disconnect(first);
    await count(1);
    await node.kill();
    await broker(url, { "cluster.node": "a" });
    await count(0);
  });
}
