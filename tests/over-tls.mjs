/** Runs test files once more, with brokers that speak TLS. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { makeCertificate } from "./certificate.mjs";

/**
 * @returns {Promise<import("./certificate.mjs").Certificate & {folder: string}>} one that is gone after the tests
 */
export async function temporaryCertificate() {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-tls-"));
  after(() => rm(folder, { recursive: true }));
  return { folder, ...(await makeCertificate(folder, "127.0.0.1")) };
}

/**
 * Makes a test of each file.
 *
 * @param {string[]} files relative to this one
 */
export async function testOverTls(files) {
  const { folder, cert } = await temporaryCertificate();
  // node reads it when it starts
  const env = { ...process.env, BROKER_TLS: folder, NODE_EXTRA_CA_CERTS: cert };
  // without it, node takes the process for a part of this test run, and its output is not text
  delete env.NODE_TEST_CONTEXT;
  for (const file of files) {
    test(`${file} passes over TLS`, async () => {
      const path = fileURLToPath(new URL(file, import.meta.url));
      const child = spawn(process.execPath, ["--test", path], { env, stdio: ["ignore", "pipe", "inherit"] });
      let said = "";
      child.stdout.on("data", (text) => (said += text));
      const [code] = await once(child, "close");
      if (code !== 0) throw new Error(`exit code ${code}:\n${said}`);
    });
  }
}
