/** The SHA-256 of a whole file, of any size, without holding it in memory. */

import { Sha256 } from "../util/sha256.js";

const CHUNK_BYTES = 1024 * 1024;

/**
 * @param {Blob} file
 * @returns {Promise<string>} 64 lower-case hexadecimal digits
 */
export async function digestFile(file) {
  const hash = new Sha256();
  for (let at = 0; at < file.size; at += CHUNK_BYTES) {
    hash.update(new Uint8Array(await file.slice(at, at + CHUNK_BYTES).arrayBuffer()));
  }
  return hash.digest();
}
