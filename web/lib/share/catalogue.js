/**
 * What a sharer offers: files with their paths, which may come and go while it is
 * shared, and their pieces with hashes. It reads one piece at a time and notices when a
 * file is not what it was. Who asks for what is sender.js's business.
 */

import { Emitter } from "../util/emitter.js";
import { TransferError } from "../util/errors.js";
import { PIECE_BYTES, pieceCount, pieceHash, pieceLength, rootHash } from "./piece-layout.js";
import { PieceReader } from "./piece-reader.js";

/** @typedef {Pick<File, "name" | "size" | "slice"> & {type?: string}} Source a File, or what reads like one */
/** @typedef {{id: string, path: string[], size: number, type: string}} Entry what receivers are told */
/** @typedef {{entry: Entry, source: Source, hashes: Array<string | undefined>}} Item */

const LIMIT_FILES = 10_000;
const LIMIT_DEPTH = 32;
const LIMIT_NAME = 1_024;

/**
 * Events: `change`, whenever the list differs from what it was; `fault`, whenever a file is
 * found to be changed or unreadable, which it stays.
 *
 * @extends {Emitter<{change: [], fault: [Entry, TransferError]}>}
 */
export class Catalogue extends Emitter {
  /** @type {Map<string, Item>} */
  #items = new Map();
  #lastId = 0;
  #draw;
  /** @type {Promise<import("./preview.js").Previews> | null} */
  #previews = null;

  /**
   * @param {object} [options]
   * @param {import("./preview.js").Draw} [options.draw] makes the preview of an image
   */
  constructor({ draw } = {}) {
    super();
    this.#draw = draw;
  }

  /** @returns {Entry[]} */
  get entries() {
    return Array.from(this.#items.values(), ({ entry }) => entry);
  }

  /**
   * @param {Array<{file: Source, path?: string[]}>} offers `path` ends with the file's name
   * @returns {Entry[]} those that are new
   * @throws {TransferError} `too_many` files
   */
  add(offers) {
    if (this.#items.size + offers.length > LIMIT_FILES) {
      throw new TransferError("too_many", `${this.#items.size + offers.length} files, limit ${LIMIT_FILES}`);
    }
    const added = offers.map(({ file, path = [file.name] }) => {
      this.#lastId += 1;
      const names = path.slice(-LIMIT_DEPTH).map((name) => name.slice(0, LIMIT_NAME));
      const entry = { id: String(this.#lastId), path: names, size: file.size, type: file.type ?? "" };
      this.#items.set(entry.id, { entry, source: file, hashes: [] });
      return entry;
    });
    if (added.length > 0) this.emit("change");
    return added;
  }

  /** @param {string} id */
  remove(id) {
    if (this.#items.delete(id)) this.emit("change");
  }

  /**
   * @param {string} id
   * @returns {Entry | undefined}
   */
  entry(id) {
    return this.#items.get(id)?.entry;
  }

  /**
   * @param {string} id
   * @param {number} piece
   * @param {PieceReader} reader of whoever asks
   * @returns {Promise<{bytes: Uint8Array<ArrayBuffer>, sha256: string}>}
   * @throws {TransferError} `removed`, `unreadable`, or `changed` since it was read before
   */
  async read(id, piece, reader) {
    const item = this.#item(id);
    try {
      return await readChecked(item, piece, reader);
    } catch (error) {
      if (error instanceof TransferError) this.emit("fault", item.entry, error);
      throw error;
    }
  }

  /**
   * @param {string} id
   * @returns {Promise<string>} the hash over all pieces; reads those that nobody asked for yet
   * @throws {TransferError}
   */
  async root(id) {
    const { hashes, entry } = this.#item(id);
    const last = pieceCount(entry.size) - 1;
    const reader = new PieceReader();
    try {
      for (let piece = 0; piece <= last; piece++) {
        // What was written to a file while it was open shows only when it is opened again.
        const isProbe = piece === last && last > 0;
        if (!hashes[piece] || isProbe) reader.release((await this.read(id, piece, reader)).bytes);
      }
    } finally {
      reader.close();
    }
    return rootHash(/** @type {string[]} */ (hashes));
  }

  /**
   * @param {string} id
   * @returns {Promise<Uint8Array<ArrayBuffer> | null>} a small JPEG of an image; null where there is none
   * @throws {TransferError} `removed`
   */
  async preview(id) {
    // Fetched with the first: most shares have nothing to look at.
    this.#previews ??= import("./preview.js").then(({ Previews }) => new Previews(this.#draw));
    const previews = await this.#previews;
    return previews.of(this.#item(id).source);
  }

  /** @param {string} id */
  #item(id) {
    const item = this.#items.get(id);
    if (!item) throw new TransferError("removed", `file ${id} is not on offer`);
    return item;
  }
}

/**
 * @param {Item} item
 * @param {number} piece
 * @param {PieceReader} reader
 */
async function readChecked({ source, hashes }, piece, reader) {
  const bytes = await readPiece(source, piece, reader);
  const sha256 = await pieceHash(bytes);
  hashes[piece] ??= sha256;
  if (hashes[piece] !== sha256) {
    throw new TransferError("changed", `${source.name} differs from what it was, at piece ${piece}`);
  }
  return { bytes, sha256 };
}

/**
 * @param {Source} source
 * @param {number} piece
 * @param {PieceReader} reader
 */
async function readPiece(source, piece, reader) {
  try {
    const bytes = await reader.read(source, piece);
    if (bytes.length === pieceLength(source.size, piece)) return bytes;
  } catch (cause) {
    // Chromium gives this too for a file that was written to after it was chosen.
    throw new TransferError("unreadable", `${source.name} cannot be read at byte ${piece * PIECE_BYTES}`, { cause });
  }
  throw new TransferError("changed", `${source.name} is shorter than its ${source.size} bytes now`);
}
