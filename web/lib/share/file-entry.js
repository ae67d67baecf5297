/** The files of a share, as the sharer reads them and as receivers see them. */

/** @typedef {Pick<File, "name" | "size" | "slice"> & {type?: string}} FileSource a File, or an object that reads like one */
/** @typedef {{id: string, path: string[], size: number, type: string}} FileEntry of the list that receivers get */

/**
 * @param {FileEntry[]} entries
 * @returns {number} bytes of all files together
 */
export function totalSize(entries) {
  return entries.reduce((sum, { size }) => sum + size, 0);
}
