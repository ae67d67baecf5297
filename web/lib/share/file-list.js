/**
 * The list of files as a receiver reads it from a stranger: in several messages, within the limits of
 * protocol.js, and checked once, when it is complete.
 */

import { ProtocolError } from "../util/errors.js";
import { excerpt } from "../util/excerpt.js";
import { TransferError } from "./errors.js";
import { entryBytes } from "./file-entry.js";
import { removeInvisible } from "./invisible.js";
import { MAX_DEPTH, MAX_FILES, MAX_ID_CHARS, MAX_LIST_BYTES, MAX_TEXTS, MAX_TEXT_BYTES } from "./protocol.js";
import { sanitizePaths } from "./sanitize-paths.js";

/** Characters of a name as the sender wrote it that are shown; more than a safe name has. */
const MAX_SHOWN_CHARS = 300;

/** @typedef {import("./file-entry.js").FileEntry} FileEntry */

/** Collects the messages of one list after the other. */
export class FileListReader {
  /** @type {FileEntry[]} their paths are not sanitized yet */
  #entries = [];
  /** @type {Set<string>} */
  #ids = new Set();
  #bytes = 0;

  /**
   * @param {any} message of the type `list`
   * @returns {FileEntry[] | null} the list, if this was its last message; for `sanitizeList`
   * @throws {ProtocolError | TransferError} `too_many`, `list_too_large`
   */
  read({ entries, last }) {
    if (!Array.isArray(entries)) throw new ProtocolError("list has no entries");
    for (const entry of entries) this.#add(parseEntry(entry));
    if (!last) return null;
    const complete = this.#entries;
    this.#entries = [];
    this.#ids.clear();
    this.#bytes = 0;
    return complete;
  }

  /** @param {FileEntry} entry */
  #add(entry) {
    if (this.#ids.has(entry.id)) throw new ProtocolError(`two files of the list have the id ${excerpt(entry.id)}`);
    this.#ids.add(entry.id);
    this.#bytes += entryBytes(entry);
    if (this.#bytes > MAX_LIST_BYTES) throw new TransferError("list_too_large", `list has more than ${MAX_LIST_BYTES} bytes`);
    if (this.#entries.push(entry) > MAX_FILES) throw new TransferError("too_many", `list has more than ${MAX_FILES} files`);
  }
}

/**
 * @param {FileEntry[]} entries of one list
 * @returns {FileEntry[]} with safe and unique paths, and no more texts to be shown than the limit
 */
export function sanitizeList(entries) {
  const paths = sanitizePaths(entries.map(({ path }) => path), (index) => entries[index].isFolder === true);
  let texts = 0;
  return entries.map(({ text, ...file }, index) => {
    const entry = text && ++texts <= MAX_TEXTS ? { ...file, text } : file;
    const path = paths[index];
    const sentAs = visiblePath(entry.path);
    return sentAs === path.join("/") ? { ...entry, path } : { ...entry, path, sentAs };
  });
}

/**
 * @param {string[]} path as received
 * @returns {string} a line to show
 */
function visiblePath(path) {
  const names = path.slice(-MAX_DEPTH).map((name) => removeInvisible(name.slice(0, MAX_SHOWN_CHARS)).normalize("NFC"));
  return names.join("/");
}

/**
 * Finds entries in a list of another connection, where they may have other ids.
 *
 * @param {FileEntry[]} entries
 * @returns {(entry: FileEntry) => FileEntry | undefined} finds the entry with the same path and size
 */
export function createFinder(entries) {
  const key = (/** @type {FileEntry} */ { path, size, isFolder }) => `${isFolder ? "folder" : size} ${path.join("/")}`;
  const found = new Map(entries.map((entry) => [key(entry), entry]));
  return (entry) => found.get(key(entry));
}

/**
 * @param {any} entry as received
 * @returns {FileEntry}
 */
function parseEntry(entry) {
  const { id, path, size, type = "" } = entry ?? {};
  if (!Number.isSafeInteger(size) || size < 0) throw new ProtocolError(`file size ${excerpt(size)} is not a count of bytes`);
  if (typeof id !== "string" || typeof type !== "string") throw new ProtocolError("file in the list has no id or type");
  if (id.length > MAX_ID_CHARS) throw new ProtocolError(`id of a file has ${id.length} characters`);
  if (!Array.isArray(path) || !path.every((name) => typeof name === "string")) throw new ProtocolError("file in the list has no path");
  if (entry.text === true && !entry.isFolder && size <= MAX_TEXT_BYTES) return { id, path, size, type, text: true };
  if (!entry.isFolder) return { id, path, size, type };
  if (size !== 0) throw new ProtocolError(`folder in the list has ${size} bytes`);
  return { id, path, size, type, isFolder: true };
}
