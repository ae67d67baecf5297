/**
 * One file of a download: which of its pieces are stored, with their hashes, and where. It outlives
 * connections and sends nothing.
 */

import { pieceHash, rootHash } from "./piece-hash.js";
import { PIECE_BYTES, pieceCount, pieceLength } from "./piece-layout.js";

/** @typedef {import("./file-entry.js").FileEntry} FileEntry */

export class FilePart {
  /** Why this file failed; the others may succeed. */
  error = /** @type {import("./errors.js").TransferError | null} */ (null);
  /** Whether the sender has confirmed the hash of the whole file. */
  isConfirmed = false;
  #sink = /** @type {import("./download-target.js").FileSink | null} */ (null);
  /** @type {string[]} of the stored and verified pieces, in order */
  #hashes = [];
  #isClosed = false;

  /** @param {FileEntry} entry */
  constructor(entry) {
    this.entry = entry;
  }

  /** @returns {string} */
  get name() {
    return this.entry.path.join("/");
  }

  /** @returns {number} the first missing piece */
  get nextPiece() {
    return this.#hashes.length;
  }

  /** @returns {number} */
  get pieceCount() {
    return pieceCount(this.entry.size);
  }

  /** @returns {boolean} whether it is confirmed or has failed */
  get isSettled() {
    return this.isConfirmed || this.error !== null;
  }

  /** @param {import("./download-target.js").DownloadTarget} target */
  async open(target) {
    this.#sink ??= await target.open(this.entry);
  }

  /**
   * @param {number} piece
   * @returns {Promise<string | undefined>} hash of the piece that an earlier download has stored, if any
   */
  async storedHash(piece) {
    const at = piece * PIECE_BYTES;
    const length = pieceLength(this.entry.size, piece);
    if (!this.#sink || at + length > this.#sink.storedBytes) return undefined;
    return pieceHash(await this.#sink.read(at, length));
  }

  /**
   * @param {number} piece
   * @param {import("./receiver.js").VerifiedPiece} verified
   * @returns {Promise<Uint8Array<ArrayBuffer> | void>} bytes whose buffer may be reused
   */
  async write(piece, { bytes, sha256 }) {
    const spare = await this.#sink?.write(piece * PIECE_BYTES, bytes);
    this.#hashes[piece] = sha256;
    return spare;
  }

  /**
   * The sender has confirmed the piece that was stored before.
   *
   * @param {number} piece
   * @param {string} hash
   */
  markStored(piece, hash) {
    this.#hashes[piece] = hash;
  }

  async close() {
    if (!this.#isClosed) await this.#sink?.close();
    this.#isClosed = true;
  }

  /** @returns {Promise<string>} the hash over all pieces */
  rootHash() {
    return rootHash(this.#hashes);
  }
}
