/** How a file is cut for its way: sizes that both sides agree on, and hashes of pieces. */

import { fromHex, toHex } from "../util/bytes.js";

/** A file is hashed, asked for and written in pieces of this many bytes. */
export const PIECE_BYTES = 1024 * 1024;
/** A piece travels in messages of this many bytes: every browser takes them. */
export const MESSAGE_BYTES = 64 * 1024;
/**
 * A piece's hash is made of the hashes of blocks of this many bytes: browsers copy what they
 * are to hash, and to copy a MiB into memory that they ask the system for costs Chromium as
 * much as to hash it.
 */
const BLOCK_BYTES = 128 * 1024;
const HASH_BYTES = 32;
/** How many bytes a receiver asks for before the first of them is written. */
export const WINDOW_BYTES = 4 * PIECE_BYTES;
/** How many questions may be open at a time; small files need more than big ones. */
export const WINDOW_ASKS = 64;

/**
 * @param {number} size of the file, bytes
 * @returns {number} none for an empty file
 */
export function pieceCount(size) {
  return Math.ceil(size / PIECE_BYTES);
}

/**
 * @param {number} size of the file, bytes
 * @param {number} piece counted from 0
 * @returns {number} bytes of that piece; only the last may be short
 */
export function pieceLength(size, piece) {
  return Math.min(PIECE_BYTES, size - piece * PIECE_BYTES);
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<string>} SHA-256 over the SHA-256s of its blocks, in hexadecimal
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
 * One hash for a whole file that needs no second reading of it: of its pieces' hashes.
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
