/**
 * Reads the pieces of files for one receiver. Pieces that are requested in order come from a stream,
 * which costs a browser a quarter of opening the file for each piece, and buffers are reused.
 */

import { PIECE_BYTES, pieceLength } from "./piece-layout.js";

/** @typedef {import("./file-entry.js").FileSource} FileSource */

/** The file is reopened after this many pieces: only then does Chromium notice that it was modified. */
const PIECES_PER_STREAM = 32;

export class PieceReader {
  /** The open file; `stream` is null in browsers without byte streams of files (before 2026). */
  #open = /** @type {{source: FileSource, next: number, end: number, stream: ReadableStreamBYOBReader | null} | null} */ (null);
  /** A released buffer, to be reused. */
  #spare = /** @type {ArrayBuffer | null} */ (null);

  /**
   * Call it for one piece at a time.
   *
   * @param {FileSource} source
   * @param {number} piece
   * @returns {Promise<Uint8Array<ArrayBuffer>>} fewer bytes than the piece has if the file is shorter now
   */
  async read(source, piece) {
    const length = pieceLength(source.size, piece);
    const stream = this.#streamAt(source, piece);
    if (stream) return this.#fill(stream, length);
    const start = piece * PIECE_BYTES;
    return new Uint8Array(await source.slice(start, start + length).arrayBuffer());
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes from `read`, which may be overwritten from now on */
  release({ buffer }) {
    if (buffer.byteLength === PIECE_BYTES) this.#spare = buffer;
  }

  /** Closes the file. Do not call it while a piece is being read. */
  close() {
    this.#open?.stream?.cancel().catch(() => {}); // the stream may have failed already
    this.#open = null;
  }

  /**
   * @param {FileSource} source
   * @param {number} piece
   */
  #streamAt(source, piece) {
    let open = this.#open;
    if (open?.source !== source || open.next !== piece || piece === open.end) {
      this.close();
      const end = piece + PIECES_PER_STREAM;
      const stream = byteStream(source.slice(piece * PIECE_BYTES, Math.min(end * PIECE_BYTES, source.size)));
      this.#open = open = { source, next: piece, end, stream };
    }
    open.next += 1;
    return open.stream;
  }

  /**
   * @param {ReadableStreamBYOBReader} stream
   * @param {number} length
   */
  async #fill(stream, length) {
    let buffer = this.#spare ?? new ArrayBuffer(PIECE_BYTES);
    this.#spare = null;
    let at = 0;
    while (at < length) {
      const { value, done } = await stream.read(new Uint8Array(buffer, at, length - at));
      if (done) return new Uint8Array(0);
      buffer = value.buffer;
      at += value.length;
    }
    return new Uint8Array(buffer, 0, length);
  }
}

/** @param {Blob} blob */
function byteStream(blob) {
  try {
    return blob.stream().getReader({ mode: "byob" });
  } catch {
    return null;
  }
}
