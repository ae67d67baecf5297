/** How a file is cut for its way: sizes that both sides agree on, and hashes of pieces. */

import { fromHex, toHex } from "./bytes.js";

/** A file is hashed, asked for and written in pieces of this many bytes. */
export const PIECE_BYTES = 1024 * 1024;
/** A piece travels in messages of this many bytes: every browser takes them. */
export const MESSAGE_BYTES = 64 * 1024;
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
 * @returns {Promise<string>} SHA-256 in hexadecimal
 */
export async function pieceHash(bytes) {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/**
 * One hash for a whole file that needs no second reading of it: of its pieces' hashes.
 *
 * @param {string[]} hashes of all pieces, in order
 * @returns {Promise<string>} SHA-256 in hexadecimal
 */
export async function rootHash(hashes) {
  return pieceHash(fromHex(hashes.join("")));
}
