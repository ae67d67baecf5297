/** How a file is divided into pieces, and how many of them a receiver requests at a time. */

/** A file is hashed, requested and written in pieces of this many bytes. */
export const PIECE_BYTES = 1024 * 1024;
/** How many bytes a receiver requests before the first of them is written. */
export const WINDOW_BYTES = 4 * PIECE_BYTES;
/** How many requests may be pending at a time; small files need more of them than large ones. */
export const WINDOW_REQUESTS = 64;

/**
 * @param {number} size of the file, bytes
 * @returns {number} 0 for an empty file
 */
export function pieceCount(size) {
  return Math.ceil(size / PIECE_BYTES);
}

/**
 * @param {number} size of the file, bytes
 * @param {number} piece index from 0
 * @returns {number} bytes of that piece; only the last one may be shorter
 */
export function pieceLength(size, piece) {
  return Math.min(PIECE_BYTES, size - piece * PIECE_BYTES);
}
