/** The files of a share, as the sharer reads them and as receivers see them. */

import { utf8 } from "../util/bytes.js";

/**
 * @typedef {{name: string, size: number, slice: (start?: number, end?: number, type?: string) => Blob, type?: string, isFolder?: true}} FileSource a File, or an
 *   object that reads like one; isFolder: an empty folder, from `emptyFolder`
 */
/**
 * @typedef {object} FileEntry of the list that receivers get
 * @property {string} id
 * @property {string[]} path
 * @property {number} size
 * @property {string} type
 * @property {true} [isFolder] it is an empty folder; other folders are only in the paths of their files
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
