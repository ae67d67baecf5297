/**
 * The pieces of files for one receiver. It asks for them in order, so they come out of a
 * stream, which costs a browser a quarter of opening the file for every piece, and into
 * buffers that are used again. What the bytes ought to be is catalogue.js's business.
 */

import { PIECE_BYTES, pieceLength } from "./piece-layout.js";

/** @typedef {import("./catalogue.js").Source} Source */

/** So many pieces on, the file is opened anew: Chromium looks only then whether it was written to. */
const STRETCH = 32;

export class PieceReader {
  /** What is open; `stream` is null where there is none, as in browsers of before 2026. */
  #open = /** @type {{source: Source, next: number, end: number, stream: ReadableStreamBYOBReader | null} | null} */ (null);
  /** What was read last but one, ready to be read into. */
  #spare = /** @type {ArrayBuffer | null} */ (null);

  /**
   * One piece after the other: not before the last one is there.
   *
   * @param {Source} source
   * @param {number} piece
   * @returns {Promise<Uint8Array<ArrayBuffer>>} fewer bytes than the piece has when the file is shorter now
   */
  async read(source, piece) {
    const length = pieceLength(source.size, piece);
    const stream = this.#streamAt(source, piece);
    if (stream) return this.#fill(stream, length);
    const start = piece * PIECE_BYTES;
    return new Uint8Array(await source.slice(start, start + length).arrayBuffer());
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes as `read` gave them; others will take their place */
  release({ buffer }) {
    if (buffer.byteLength === PIECE_BYTES) this.#spare = buffer;
  }

  /** Lets go of the file; not while a piece is being read. */
  close() {
    this.#open?.stream?.cancel().catch(() => {}); // it may have failed already
    this.#open = null;
  }

  /**
   * @param {Source} source
   * @param {number} piece
   */
  #streamAt(source, piece) {
    let open = this.#open;
    if (open?.source !== source || open.next !== piece || piece === open.end) {
      this.close();
      const end = piece + STRETCH;
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
