/** The files of a share, as the sharer reads them and as receivers see them. */

import { utf8 } from "../util/bytes.js";

/** @typedef {Pick<File, "name" | "size" | "slice"> & {type?: string}} FileSource a File, or an object that reads like one */
/**
 * @typedef {{id: string, path: string[], size: number, type: string, sentAs?: string}} FileEntry of the list that
 *   receivers get; sentAs: the sender's path, to be shown, if the receiver had to change a name in it
 */

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
