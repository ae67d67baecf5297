/**
 * One file of a download: which of its pieces are stored, by their hashes, and where. It
 * outlives links, and never asks for anything itself.
 */

import { PIECE_BYTES, pieceCount, pieceHash, pieceLength, rootHash } from "./piece-layout.js";

/** @typedef {import("./catalogue.js").Entry} Entry */

export class Part {
  /** Why this file is not to be had, though others may be. */
  error = /** @type {import("../util/errors.js").TransferError | null} */ (null);
  /** Whether the sender has the same hash of the whole. */
  agreed = false;
  #sink = /** @type {import("./targets/target.js").Sink | null} */ (null);
  /** @type {string[]} of the pieces that are stored and checked, in order */
  #hashes = [];
  #isClosed = false;

  /** @param {Entry} entry */
  constructor(entry) {
    this.entry = entry;
  }

  /** @returns {string} */
  get name() {
    return this.entry.path.join("/");
  }

  /** @returns {number} the first piece that is missing */
  get next() {
    return this.#hashes.length;
  }

  /** @returns {number} */
  get pieces() {
    return pieceCount(this.entry.size);
  }

  /** @returns {boolean} whether there is anything left to do for it */
  get isSettled() {
    return this.agreed || this.error !== null;
  }

  /** @param {import("./targets/target.js").Target} target */
  async open(target) {
    this.#sink ??= await target.open(this.entry);
  }

  /**
   * @param {number} piece
   * @returns {Promise<string | undefined>} hash of what an earlier visit has left of it
   */
  async left(piece) {
    const at = piece * PIECE_BYTES;
    const length = pieceLength(this.entry.size, piece);
    if (!this.#sink || at + length > this.#sink.stored) return undefined;
    return pieceHash(await this.#sink.read(at, length));
  }

  /**
   * @param {number} piece
   * @param {import("./receiver.js").Checked} checked
   * @returns {Promise<Uint8Array<ArrayBuffer> | void>} bytes that nobody needs any more
   */
  async write(piece, { bytes, sha256 }) {
    const spare = await this.#sink?.write(piece * PIECE_BYTES, bytes);
    this.#hashes[piece] = sha256;
    return spare;
  }

  /**
   * What was left of it is what the sender has.
   *
   * @param {number} piece
   * @param {string} hash
   */
  keep(piece, hash) {
    this.#hashes[piece] = hash;
  }

  async close() {
    if (!this.#isClosed) await this.#sink?.close();
    this.#isClosed = true;
  }

  /** @returns {Promise<string>} the hash over all pieces */
  root() {
    return rootHash(this.#hashes);
  }
}
