/** nginx, HAProxy and Apache in front of a broker, for their clients with TLS and HTTP/2. What they are told is in our pages. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeCertificate } from "./certificate.mjs";

const HOST = "127.0.0.1";
/** Only Apache listens here: it cannot get a socket that listens already, and no other program shall take its port. */
const APACHE_HOST = "127.77.0.1";
const APACHE_MODULES = "/usr/lib/apache2/modules";
const OPERATIONS = new URL("../web/docs/operations.md", import.meta.url);
const BALANCER = new URL("../config/deploy/cluster/haproxy.cfg", import.meta.url);
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
 * @param {object} [options]
 * @param {string} [options.location] the part of its configuration that says how it forwards; the one of our pages if left out
 * @param {boolean} [options.hasTls]
 */
export function startNginx(port, { location, hasTls = true } = {}) {
  return start(hasTls ? "s" : "", async ({ folder, certificate, address }) => {
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
          listen ${address} ${hasTls ? "ssl http2" : ""};
          ${hasTls ? `ssl_certificate ${certificate}; ssl_certificate_key ${certificate};` : ""}
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
  return start("s", async ({ folder, certificate }) => {
    const configuration = (await ourPages("haproxy"))
      .replace(/bind .*/, `bind fd@3 ssl crt ${certificate} alpn h2,http/1.1`)
      .replace(/inter \S+/, "inter 100ms");
    const file = join(folder, "configuration");
    await writeFile(file, forwardingTo(port, configuration));
    return { program: "haproxy", words: ["-q", "-f", file], variables: {} };
  });
}

/**
 * The balancer of config/deploy/cluster, with TLS.
 *
 * @param {number[]} ports where the three nodes listen
 */
export function startBalancer(ports) {
  return start("s", async ({ folder, certificate }) => {
    const configuration = (await readFile(BALANCER, "utf8"))
      .replace(/^ +bind .*/m, `bind fd@3 ssl crt ${certificate} alpn h2,http/1.1`)
      .replace(/inter \S+/, "inter 100ms")
      .replace(/maxconn .*/, "maxconn 1000")
      .replace(/\bnode([123]):4000/g, (_name, number) => `${HOST}:${ports[number - 1]}`);
    const file = join(folder, "configuration");
    await writeFile(file, configuration);
    return { program: "haproxy", words: ["-q", "-f", file], variables: {} };
  });
}

/**
 * Apache sends its own address as `Host`, and the client's as `X-Forwarded-Host`. It speaks HTTP without TLS here.
 *
 * @param {number} port where the broker listens
 * @returns {Promise<Omit<Proxy, "ca">>}
 */
export async function startApache(port) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  const free = createServer().listen(0, APACHE_HOST);
  await once(free, "listening");
  const own = free.address().port;
  free.close();
  await once(free, "close");
  const modules = ["mpm_event", "authz_core", "proxy", "proxy_http"];
  const configuration = `
    ServerRoot ${folder}
    ServerName ${APACHE_HOST}
    PidFile ${folder}/pid
    ErrorLog ${folder}/log
    LogLevel error
    Listen ${APACHE_HOST}:${own}
    ${process.getuid?.() === 0 ? "User www-data\nGroup www-data" : ""}
    ${modules.map((name) => `LoadModule ${name}_module ${APACHE_MODULES}/mod_${name}.so`).join("\n")}
    ${forwardingTo(port, await ourPages("apache"))}`;
  const file = join(folder, "configuration");
  await writeFile(file, configuration);
  const proxy = spawn("apache2", ["-f", file, "-D", "FOREGROUND"], { env, stdio: ["ignore", "ignore", "pipe"] });
  const gone = once(proxy, "close");
  await once(proxy, "spawn");
  let said = "";
  proxy.stderr.on("data", (text) => (said += text));
  while (!(await accepts(own))) {
    assert.equal(proxy.exitCode, null, `apache2 ended before the test: ${said}`);
    await sleep(20);
  }
  return {
    url: `http://${APACHE_HOST}:${own}/`,
    socketUrl: (mount) => `ws://${APACHE_HOST}:${own}/${mount}`,
    async close() {
      proxy.kill("SIGTERM");
      await gone;
      await rm(folder, { recursive: true });
    },
  };
}

/** @param {number} port of Apache */
async function accepts(port) {
  const socket = connect(port, APACHE_HOST);
  const accepted = await new Promise((resolve) => socket.on("connect", () => resolve(true)).on("error", () => resolve(false)));
  socket.destroy();
  return accepted;
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
 * nginx as our pages have it for a broker below a path, without TLS.
 *
 * @param {number} port where the broker listens
 * @param {string} path for example `/share/`
 * @returns {Promise<Proxy>} its `url` has the path
 */
export async function startNginxBelow(port, path) {
  const location = (await ourPages("nginx")).replace("location / {", `location ${path} {`).replace(/(proxy_pass .*);/, "$1/;");
  const proxy = await startNginx(port, { location, hasTls: false });
  return { ...proxy, url: new URL(path, proxy.url).href };
}

/**
 * @param {"" | "s"} secure `s`: with TLS
 * @param {(inherited: Inherited) => Promise<{program: string, words: string[], variables: Record<string, string>}>} configure
 * @returns {Promise<Proxy>}
 */
async function start(secure, configure) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  const { both: certificate, ca } = await makeCertificate(folder, HOST);
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
    url: `http${secure}://${address}/`,
    socketUrl: (mount) => `ws${secure}://${address}/${mount}`,
    ca,
    async close() {
      const survived = proxy.kill("SIGTERM");
      await gone;
      assert.ok(survived, `${program} ended before the test: ${said}`);
      await rm(folder, { recursive: true });
    },
  };
}
