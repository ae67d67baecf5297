/** A STUN and TURN server for a test: Debian's coturn, on a machine of the test's network. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { env } from "./netns.mjs";

const SECRET = "open-sesame";

/**
 * @param {import("./netns.mjs").Machine} machine
 * @param {string} address of that machine
 */
export async function startTurn(machine, address) {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-"));
  const tls = await makeCertificate(folder, address);
  const listening = [`--listening-ip=${address}`, `--relay-ip=${address}`, "--listening-port=3478", "--tls-listening-port=5349", "--no-dtls"];
  const users = ["--use-auth-secret", `--static-auth-secret=${SECRET}`, "--realm=handclasp", "--userdb=:memory:"];
  const alone = ["-n", "--no-cli", "--log-file=stdout", "--simple-log", "--pidfile=/dev/null"];
  const [program, ...words] = [...machine.enter, "turnserver", ...alone, ...listening, ...tls, ...users];
  const server = spawn(program, words, { env, stdio: ["ignore", "pipe", "pipe"] });
  const gone = once(server, "close");
  let said = "";
  const isReady = new Promise((resolve) => {
    for (const stream of [server.stdout, server.stderr]) {
      stream.on("data", (text) => {
        said += text;
        if (/Total General servers/.test(said)) resolve(true);
      });
    }
  });
  assert.ok(await Promise.race([isReady, gone.then(() => false)]), `turnserver (package coturn) did not start: ${said}`);
  return {
    stun: `{ urls = "stun:${address}:3478" }`,
    turn: `{ urls = "turn:${address}:3478", secret = "${SECRET}" }`,
    turnOverTcp: `{ urls = "turn:${address}:3478?transport=tcp", secret = "${SECRET}" }`,
    turnOverTls: `{ urls = "turns:${address}:5349?transport=tcp", secret = "${SECRET}" }`,
    async end() {
      server.kill("SIGKILL");
      await gone;
      await rm(folder, { recursive: true });
    },
  };
}

/**
 * @param {string} folder
 * @param {string} address that the certificate is for
 * @returns {Promise<string[]>} arguments of turnserver
 */
async function makeCertificate(folder, address) {
  const [key, certificate] = ["key.pem", "certificate.pem"].map((name) => join(folder, name));
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  const names = ["-subj", `/CN=${address}`, "-addext", `subjectAltName=IP:${address}`];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", certificate]);
  return [`--cert=${certificate}`, `--pkey=${key}`];
}
