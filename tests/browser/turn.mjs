/** A STUN and TURN server for a test: Debian's coturn, on a machine of the test's network. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { env } from "./netns.mjs";

const SECRET = "open-sesame";

/**
 * @param {import("./netns.mjs").Machine} machine
 * @param {string} address of that machine
 */
export async function startTurn(machine, address) {
  const listening = [`--listening-ip=${address}`, `--relay-ip=${address}`, "--listening-port=3478", "--no-tls", "--no-dtls"];
  const users = ["--use-auth-secret", `--static-auth-secret=${SECRET}`, "--realm=handclasp", "--userdb=:memory:"];
  const alone = ["-n", "--no-cli", "--log-file=stdout", "--simple-log", "--pidfile=/dev/null"];
  const [program, ...words] = [...machine.enter, "turnserver", ...alone, ...listening, ...users];
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
    async end() {
      server.kill("SIGKILL");
      await gone;
    },
  };
}
