/**
 * The files of a share. Files may be added and removed while they are shared. The catalogue reads and
 * hashes one piece at a time, and notices when a file has changed.
 */

import { Emitter } from "../util/emitter.js";
import { excerpt } from "../util/excerpt.js";
import { TransferError } from "./errors.js";
import { entryBytes } from "./file-entry.js";
import { pieceHash, rootHash } from "./piece-hash.js";
import { PIECE_BYTES, pieceCount, pieceLength } from "./piece-layout.js";
import { PieceReader } from "./piece-reader.js";
import { MAX_DEPTH, MAX_FILES, MAX_LIST_BYTES } from "./protocol.js";

/** @typedef {import("./file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./file-entry.js").FileSource} FileSource */
/** @typedef {{entry: FileEntry, source: FileSource, hashes: Array<string | undefined>, proved: number}} CatalogueItem proved: how many of the first pieces were read again, and are as they were */

const MAX_NAME_CHARS = 1_024;
/** Reads a small file; a stream of it would cost more than its bytes. @type {Pick<PieceReader, "read">} */
const WHOLE_FILE = { read: async (source) => new Uint8Array(await source.slice(0, source.size).arrayBuffer()) };

/**
 * Events: `change`, when a file was added or removed; `fault`, when a file turns out to be changed or
 * unreadable, and stays so.
 *
 * @extends {Emitter<{change: [], fault: [FileEntry, TransferError]}>}
 */
export class Catalogue extends Emitter {
  /** @type {Map<string, CatalogueItem>} by the entry's id */
  #items = new Map();
  #lastId = 0;
  #renderPreview;
  /** @type {Promise<import("./preview.js").PreviewCache> | null} */
  #previews = null;

  /**
   * @param {object} [options]
   * @param {import("./preview.js").RenderPreview} [options.renderPreview]
   */
  constructor({ renderPreview } = {}) {
    super();
    this.#renderPreview = renderPreview;
  }

  /** @returns {FileEntry[]} */
  get entries() {
    return Array.from(this.#items.values(), ({ entry }) => entry);
  }

  /**
   * @param {Array<{file: FileSource, path?: string[]}>} files `path` ends with the file's name
   * @returns {FileEntry[]} the new entries
   * @throws {TransferError} `too_many` files, or `list_too_large`: their names are too long together
   */
  add(files) {
    if (this.#items.size + files.length > MAX_FILES) {
      throw new TransferError("too_many", `${this.#items.size + files.length} files, limit ${MAX_FILES}`);
    }
    let id = this.#lastId;
    const items = files.map(({ file, path = [file.name] }) => {
      id += 1;
      const names = path.slice(-MAX_DEPTH).map((name) => name.slice(0, MAX_NAME_CHARS));
      const entry = { id: String(id), path: names, size: file.size, type: file.type ?? "" };
      const mark = file.isFolder ? { isFolder: file.isFolder } : file.isText ? { text: file.isText } : {};
      return { entry: { ...entry, ...mark }, source: file, hashes: [], proved: 0 };
    });
    const added = items.map(({ entry }) => entry);
    const bytes = [...this.entries, ...added].reduce((sum, entry) => sum + entryBytes(entry), 0);
    if (bytes > MAX_LIST_BYTES) throw new TransferError("list_too_large", `${bytes} bytes of names, limit ${MAX_LIST_BYTES}`);
    this.#lastId = id;
    for (const item of items) this.#items.set(item.entry.id, item);
    if (added.length > 0) this.emit("change");
    return added;
  }

  /** @param {string[]} ids */
  remove(...ids) {
    const removed = ids.filter((id) => this.#items.delete(id));
    if (removed.length > 0) this.emit("change");
  }

  /**
   * @param {string} id
   * @returns {FileEntry | undefined}
   */
  entry(id) {
    return this.#items.get(id)?.entry;
  }

  /**
   * @param {string} id
   * @param {number} piece
   * @param {Pick<PieceReader, "read">} reader of the receiver
   * @returns {Promise<{bytes: Uint8Array<ArrayBuffer>, sha256: string}>}
   * @throws {TransferError} `removed`, `unreadable`, or `changed` since the piece was read before
   * @internal
   */
  async readPiece(id, piece, reader) {
    const item = this.#item(id);
    try {
      return await readAndCompare(item, piece, reader);
    } catch (error) {
      if (error instanceof TransferError) this.emit("fault", item.entry, error);
      throw error;
    }
  }

  /**
   * @param {string} id of a small file, which is one piece
   * @returns {Promise<{bytes: Uint8Array<ArrayBuffer>, sha256: string}>}
   * @throws {TransferError} as `readPiece`
   * @internal
   */
  readSmallFile(id) {
    return this.readPiece(id, 0, WHOLE_FILE);
  }

  /**
   * @param {string} id
   * @param {() => boolean} isNeeded asked before each piece: a large file takes minutes
   * @returns {Promise<string>} the hash over all pieces. Reads the pieces that were not requested yet, and all of them
   *   where only that tells that the file was changed in between
   * @throws {TransferError} `cancelled` when it is no longer needed
   * @internal
   */
  async rootHash(id, isNeeded) {
    const item = this.#item(id);
    const { hashes, entry, source } = item;
    const last = pieceCount(entry.size) - 1;
    const needsProof = last > 0 && !reportsChanges(source);
    const reader = new PieceReader();
    try {
      for (let piece = 0; piece <= last; piece++) {
        if (!isNeeded()) throw new TransferError("cancelled", `the hash of file ${id} is no longer needed`);
        // A modification while the file was open is visible only after it is opened again.
        const isProbe = piece === last && last > 0;
        const isKnown = hashes[piece] !== undefined;
        const needsAnother = needsProof && piece >= item.proved;
        if (!isKnown || isProbe || needsAnother) reader.release((await this.readPiece(id, piece, reader)).bytes);
        // A receiver that gives up meanwhile and asks again finds the rest of the work only.
        if (isKnown && needsAnother && piece === item.proved) item.proved++;
      }
    } finally {
      reader.close();
    }
    return rootHash(/** @type {string[]} */ (hashes));
  }

  /**
   * @param {string} id
   * @returns {Promise<Uint8Array<ArrayBuffer> | null>} a small JPEG of an image; null if there is none
   * @throws {TransferError} `removed`
   */
  async preview(id) {
    // Imported on demand, because most shares have no images.
    this.#previews ??= import("./preview.js").then(({ PreviewCache }) => new PreviewCache(this.#renderPreview));
    const previews = await this.#previews;
    return previews.get(this.#item(id).source);
  }

  /** @param {string} id */
  #item(id) {
    const item = this.#items.get(id);
    if (!item) throw new TransferError("removed", `file ${excerpt(id)} is not shared`);
    return item;
  }
}

/**
 * @param {FileSource} source
 * @returns {boolean} whether reading fails after a change. It does in Chromium, which alone has `userAgentData`, and in
 *   the command. Firefox reads whatever is there now, so a file could arrive as a mixture of two
 */
function reportsChanges(source) {
  return !(source instanceof File) || "userAgentData" in (globalThis.navigator ?? {});
}

/**
 * @param {CatalogueItem} item
 * @param {number} piece
 * @param {Pick<PieceReader, "read">} reader
 */
async function readAndCompare({ source, hashes }, piece, reader) {
  const bytes = await readBytes(source, piece, reader);
  const sha256 = await pieceHash(bytes);
  hashes[piece] ??= sha256;
  if (hashes[piece] !== sha256) {
    throw new TransferError("changed", `${source.name} has changed, at piece ${piece}`);
  }
  return { bytes, sha256 };
}

/**
 * @param {FileSource} source
 * @param {number} piece
 * @param {Pick<PieceReader, "read">} reader
 */
async function readBytes(source, piece, reader) {
  try {
    const bytes = await reader.read(source, piece);
    if (bytes.length === pieceLength(source.size, piece)) return bytes;
  } catch (cause) {
    // Chromium also throws here for a file that was modified after the user chose it.
    throw new TransferError("unreadable", `${source.name} cannot be read at byte ${piece * PIECE_BYTES}`, { cause });
  }
  throw new TransferError("changed", `${source.name} is now shorter than ${source.size} bytes`);
}
