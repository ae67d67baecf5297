/** The hashes of pieces and files. */

import { fromHex, toHex } from "../util/bytes.js";

/**
 * The hash of a piece is computed from the hashes of blocks of this size. Browsers copy the bytes that
 * they hash, and allocating 1 MiB for the copy costs Chromium as much as hashing it.
 */
const BLOCK_BYTES = 128 * 1024;
const HASH_BYTES = 32;

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<string>} SHA-256 over the SHA-256 hashes of its blocks, in hexadecimal
 */
export async function pieceHash(bytes) {
  const hashes = new Uint8Array(HASH_BYTES * Math.ceil(bytes.length / BLOCK_BYTES));
  for (let block = 0; block * BLOCK_BYTES < bytes.length; block++) {
    const start = block * BLOCK_BYTES;
    hashes.set(await sha256(bytes.subarray(start, start + BLOCK_BYTES)), block * HASH_BYTES);
  }
  return toHex(await sha256(hashes));
}

/**
 * The hash of a whole file. It is computed from the hashes of the pieces, so the file need not be read again.
 *
 * @param {string[]} hashes of all pieces, in order
 * @returns {Promise<string>} SHA-256 in hexadecimal
 */
export async function rootHash(hashes) {
  return toHex(await sha256(fromHex(hashes.join(""))));
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}
