/** A download target in memory, for browsers without a private file system and without service workers. */

import { bundleFiles } from "./zip-bundle.js";

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../download-target.js").DownloadTarget} DownloadTarget */

export const MEMORY_LIMIT = 512 * 1024 * 1024;

/** @implements {DownloadTarget} */
export class MemoryTarget {
  allOrNothing = false;
  /** @type {Map<string, Uint8Array<ArrayBuffer>[]>} by the entry's id */
  #files = new Map();

  /** @param {FileEntry} entry */
  async open({ id }) {
    /** @type {Uint8Array<ArrayBuffer>[]} */
    const chunks = [];
    this.#files.set(id, chunks);
    return {
      storedBytes: 0,
      read: async () => new Uint8Array(0),
      write: async (/** @type {number} */ _at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => void chunks.push(bytes),
      close: async () => {},
    };
  }

  /** @param {FileEntry} entry */
  async remove({ id }) {
    this.#files.delete(id);
  }

  /** @param {FileEntry[]} entries */
  async finish(entries) {
    return bundleFiles(entries.map((entry) => ({ entry, blob: new Blob(this.#files.get(entry.id)) })));
  }

  async abort() {
    this.#files.clear();
  }
}
