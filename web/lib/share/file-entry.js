/** The files of a share, as the sharer reads them and as receivers see them. */

import { utf8 } from "../util/bytes.js";
import { MAX_TEXT_BYTES } from "./protocol.js";

/**
 * @typedef {{name: string, size: number, slice: (start?: number, end?: number, type?: string) => Blob, type?: string, isFolder?: true, isText?: true}} FileSource a File, or an
 *   object that reads like one; isFolder: an empty folder, from `emptyFolder`; isText: to be shown, from `textFile`
 */
/**
 * @typedef {object} FileEntry of the list that receivers get
 * @property {string} id
 * @property {string[]} path
 * @property {number} size
 * @property {string} type
 * @property {true} [isFolder] it is an empty folder; other folders are only in the paths of their files
 * @property {true} [text] it is a text, of at most 256 KiB in UTF-8, that the sender wants to be shown
 * @property {string} [sentAs] the sender's path, to be shown, if the receiver had to change a name in it
 */

/**
 * @param {string} name
 * @returns {FileSource} to be shared like a file, because a list of files has no empty folders
 */
export function emptyFolder(name) {
  return { name, size: 0, isFolder: true, slice: () => new Blob([]) };
}

/**
 * @param {string} text
 * @param {string} [name] of the file that it is for a receiver that does not show it
 * @returns {File & {isText?: true}} to be shared like a file; above 256 KiB it is only a file
 */
export function textFile(text, name = "text.txt") {
  const file = new File([text], name, { type: "text/plain" });
  return file.size <= MAX_TEXT_BYTES ? Object.assign(file, { isText: /** @type {const} */ (true) }) : file;
}

/**
 * @param {FileEntry} entry of a list
 * @returns {string} tells it from the entries of the other lists of a share: after the sharer's reload, an id may belong to another file
 */
export function entryKey({ id, path, size }) {
  return JSON.stringify([id, path, size]);
}

/**
 * @param {FileEntry[]} entries of one list
 * @returns {string[]} tell them apart by their path at the sender, their size and, if both are alike, their order. A file
 *   has the same key in every list of a share: its id and its path at the receiver may change when the sender reloads the
 *   page, and when other files come and go
 */
export function stableKeys(entries) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  return entries.map(({ path, size, isFolder, sentAs = path.join("/") }) => {
    const key = JSON.stringify([sentAs, isFolder ? null : size]);
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return count === 1 ? key : `${key} ${count}`;
  });
}

/**
 * @param {FileEntry} entry
 * @returns {string} its path, to be shown
 */
export function pathText({ path, isFolder }) {
  return `${path.join("/")}${isFolder ? "/" : ""}`;
}

/**
 * @param {FileEntry[]} entries
 * @returns {number} how many are files
 */
export function countFiles(entries) {
  return entries.filter(({ isFolder }) => !isFolder).length;
}

/**
 * @param {FileEntry[]} entries
 * @returns {number} bytes of all files together
 */
export function totalSize(entries) {
  return entries.reduce((sum, { size }) => sum + size, 0);
}

/**
 * @param {FileEntry} entry
 * @returns {number} what it counts for in the limit of a list: its texts in UTF-8
 */
export function entryBytes({ id, path, type }) {
  return utf8(`${id}${type}${path.join("/")}`).length;
}
