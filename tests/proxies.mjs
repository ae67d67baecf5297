/** nginx and HAProxy in front of a broker, for their clients with TLS and HTTP/2. What they are told is in our pages. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const HOST = "127.0.0.1";
const OPERATIONS = new URL("../web/docs/operations.md", import.meta.url);
/** Debian's proxies are where an ordinary user's PATH does not lead. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

/**
 * @typedef {object} Proxy
 * @property {string} url its address, with a slash at the end
 * @property {(mount: string) => string} socketUrl `wss://host:port/<mount>`
 * @property {Buffer} ca its certificate
 * @property {() => Promise<void>} close
 */
/**
 * @typedef {object} Inherited what a proxy finds when it starts
 * @property {string} folder to write to
 * @property {string} certificate a file with the certificate and its key
 * @property {string} address where the socket listens that it gets as descriptor 3
 */

/**
 * @param {number} port where the broker listens
 * @param {string} [location] the part of its configuration that says how it forwards; the one of our pages if left out
 */
export function startNginx(port, location) {
  return start(async ({ folder, certificate, address }) => {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`);
    const configuration = `
      daemon off;
      ${process.getuid?.() === 0 ? "user root;" : ""}
      worker_processes 1;
      pid ${folder}/pid;
      error_log stderr error;
      events {}
      http {
        access_log off;
        ${temporary.join("\n")}
        map $http_upgrade $connection_upgrade { default upgrade; "" close; }
        server {
          listen ${address} ssl http2;
          ssl_certificate ${certificate};
          ssl_certificate_key ${certificate};
          ${forwardingTo(port, location ?? (await ourPages("nginx")))}
        }
      }`;
    const file = join(folder, "configuration");
    await writeFile(file, configuration);
    return { program: "nginx", words: ["-e", "stderr", "-p", folder, "-c", file], variables: { NGINX: "3;" } };
  });
}

/** @param {number} port where the broker listens */
export function startHaproxy(port) {
  return start(async ({ folder, certificate }) => {
    const configuration = (await ourPages("haproxy"))
      .replace(/bind .*/, `bind fd@3 ssl crt ${certificate} alpn h2,http/1.1`)
      .replace(/inter \S+/, "inter 100ms");
    const file = join(folder, "configuration");
    await writeFile(file, forwardingTo(port, configuration));
    return { program: "haproxy", words: ["-q", "-f", file], variables: {} };
  });
}

/** @param {string} language of a block of code */
async function ourPages(language) {
  const page = await readFile(OPERATIONS, "utf8");
  return /** @type {string} */ (page.split(`\`\`\`${language}\n`)[1].split("```")[0]);
}

/**
 * @param {number} port
 * @param {string} configuration with the broker's default address
 */
const forwardingTo = (port, configuration) => configuration.replace(`${HOST}:4000`, `${HOST}:${port}`);

/**
 * @param {(inherited: Inherited) => Promise<{program: string, words: string[], variables: Record<string, string>}>} configure
 * @returns {Promise<Proxy>}
 */
async function start(configure) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  const { certificate, ca } = await makeCertificate(folder);
  // it gets a socket that listens already, so no other program can take its port, and no client comes too early
  const listener = createServer();
  listener.listen(0, HOST);
  await once(listener, "listening");
  const address = `${HOST}:${listener.address().port}`;
  const { program, words, variables } = await configure({ folder, certificate, address });
  const stdio = ["ignore", "ignore", "pipe", listener._handle.fd];
  const proxy = spawn(program, words, { env: { ...env, ...variables }, stdio });
  const gone = once(proxy, "close");
  await once(proxy, "spawn");
  let said = "";
  proxy.stderr.on("data", (text) => (said += text));
  listener.close();
  return {
    url: `https://${address}/`,
    socketUrl: (mount) => `wss://${address}/${mount}`,
    ca,
    async close() {
      const survived = proxy.kill("SIGTERM");
      await gone;
      assert.ok(survived, `${program} ended before the test: ${said}`);
      await rm(folder, { recursive: true });
    },
  };
}

/** @param {string} folder */
async function makeCertificate(folder) {
  const [key, own, both] = ["key.pem", "own.pem", "both.pem"].map((name) => join(folder, name));
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  const names = ["-subj", `/CN=${HOST}`, "-addext", `subjectAltName=IP:${HOST}`];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", own]);
  const ca = await readFile(own);
  await writeFile(both, Buffer.concat([ca, await readFile(key)]));
  return { certificate: both, ca };
}
