/** A certificate of the test's own, which its clients are told to trust. */

import { execFile } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/**
 * @typedef {object} Certificate
 * @property {string} cert the file with the certificate
 * @property {string} key the file with its key
 * @property {string} both a file with both
 * @property {Buffer} ca the certificate
 */

/**
 * @param {string} folder to write to; a certificate that is there is replaced
 * @param {string} host the IP address that it is valid for
 * @returns {Promise<Certificate>}
 */
export async function makeCertificate(folder, host) {
  const { cert, key, both } = certificateFiles(folder);
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  const names = ["-subj", `/CN=${host}`, "-addext", `subjectAltName=IP:${host}`];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", cert]);
  const ca = await readFile(cert);
  await writeFile(both, Buffer.concat([ca, await readFile(key)]));
  return { cert, key, both, ca };
}

/** @param {string} folder of a certificate */
export function certificateFiles(folder) {
  return { cert: join(folder, "own.pem"), key: join(folder, "key.pem"), both: join(folder, "both.pem") };
}

/**
 * @param {Buffer} ca a certificate
 * @returns {string} the hash of its public key, by which Chromium can be told to accept it
 */
export function publicKeyHash(ca) {
  const key = new X509Certificate(ca).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("base64");
}
