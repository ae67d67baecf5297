/** How a file is cut for its way: sizes that both sides agree on, and nothing else. */

/** A file is hashed, asked for and written in pieces of this many bytes. */
export const PIECE_BYTES = 1024 * 1024;
/** A piece travels in messages of this many bytes: every browser takes them. */
export const MESSAGE_BYTES = 64 * 1024;
/** How many pieces a receiver asks for before the first of them is written. */
export const WINDOW_PIECES = 4;

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
 * @returns {Promise<ArrayBuffer>} SHA-256
 */
export function pieceHash(bytes) {
  return crypto.subtle.digest("SHA-256", bytes);
}
