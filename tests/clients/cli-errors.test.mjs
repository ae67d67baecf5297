/** What the command says about a broker that it cannot reach: whatever waiting cannot mend ends it at once. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { startBroker } from "../broker.mjs";
import { installCommand } from "../command.mjs";
import { startNginx } from "../proxies.mjs";

const LINK = `?peer_id=00000000-0000-8000-8000-000000000000#k=${"A".repeat(22)}`;
const { folder, run } = await installCommand();
/** @type {Array<{close: () => unknown}>} */
const servers = [];
/** @type {{key: Buffer, cert: Buffer}} of localhost, signed by nobody else */
let own;
/** @type {{key: Buffer, cert: Buffer}} of another host, signed by an authority that signs for nobody else */
let foreign;

before(async () => {
  own = await makeCertificate("own", "DNS:localhost");
  foreign = await makeCertificate("foreign", "DNS:example.test");
});
after(() => Promise.all(servers.map((server) => server.close())));

/** @param {string} name @param {string} names it is for */
async function makeCertificate(name, names) {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=test"];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, "-addext", `subjectAltName=${names}`, "-keyout", key, "-out", cert]);
  return { key: await readFile(key), cert: await readFile(cert) };
}

/** @param {import("node:net").Server} server @returns {Promise<string>} its host and port */
async function listen(server) {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `localhost:${/** @type {net.AddressInfo} */ (server.address()).port}`;
}

/**
 * @param {string} address
 * @param {RegExp} words
 * @param {Record<string, string>} [env]
 */
async function assertEnds(address, words, env = {}) {
  const command = run(["get", `${address}${LINK}`], { env });
  assert.match(await command.said("err", /\n/), words);
  assert.doesNotMatch(command.err(), /Retrying/);
  assert.deepEqual([await command.ended, command.out()], [4, ""], command.err());
  assert.match(command.err(), /^.*\n$/, "one line");
}

test("an unknown host", async () => {
  await assertEnds("https://nowhere.invalid/", /no host named nowhere\.invalid/);
});

test("a certificate that nobody signed, or of another name", async () => {
  const at = await listen(https.createServer(own));
  await assertEnds(`https://${at}/`, /certificate of localhost:\d+ is signed by nobody but itself/);
  const other = await listen(https.createServer(foreign));
  await assertEnds(`https://${other}/`, /certificate of localhost:\d+ belongs to another name/, { NODE_EXTRA_CA_CERTS: join(folder, "foreign.pem") });
});

test("a port with TLS that is spoken to in clear, and the other way round", async () => {
  const withTls = await listen(https.createServer(own));
  await assertEnds(`http://${withTls}/`, /expects an encrypted connection: the address has to begin with https/);
  const inClear = await listen(http.createServer((_, response) => response.writeHead(404).end()));
  await assertEnds(`https://${inClear}/`, /speaks no TLS: the address has to begin with http:/);
});

test("nginx, which answers a request in clear on a port with TLS", async () => {
  const proxy = await startNginx(1);
  servers.push(proxy);
  await assertEnds(proxy.url.replace("https", "http"), /has to begin with https/);
});

test("a path without a broker, and a redirect to one", async () => {
  const broker = await startBroker();
  servers.push({ close: () => broker.kill() });
  await assertEnds(`${broker.url}elsewhere/`, /no broker at the path \/elsewhere\/: check the address/);
  const at = await listen(http.createServer(({ url }, response) => response.writeHead(301, { location: `https://example.test${url}` }).end()));
  await assertEnds(`http://${at}/share/`, /leads to https:\/\/example\.test\/share\/: use that address/);
});

test("a port of something else", async () => {
  const at = await listen(net.createServer((socket) => socket.on("error", () => {}).end("SSH-2.0-OpenSSH_9\r\n")));
  await assertEnds(`http://${at}/`, /is no web server: check the port/);
});

test("a busy server and a refused port are tried again, with a line for each reason", async () => {
  let isBusy = true;
  const server = http.createServer((_, response) => response.writeHead(isBusy ? 503 : 404).end());
  const at = await listen(server);
  await writeFile(join(folder, "a.txt"), "a");
  const sender = run(["send", "a.txt", "--broker", `http://${at}`]);
  await sender.said("err", /is busy or restarting \(HTTP 503\)\. Retrying/);
  server.close();
  server.closeAllConnections();
  await sender.said("err", /refuses connections to port \d+: .* Retrying/);
  isBusy = false;
  await once(server.listen(Number(at.split(":")[1]), "127.0.0.1"), "listening");
  assert.equal(await sender.ended, 4);
  assert.match(sender.err(), /^(.*\n){3}$/);
});
