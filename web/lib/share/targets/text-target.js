/** A download target for entries with `text: true`: it keeps them as strings, to be shown. */

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../download-target.js").DownloadTarget} DownloadTarget */

/** @implements {DownloadTarget} */
export class TextTarget {
  allOrNothing = false;
  /** @type {Map<string, string>} by the entry's id, once the download is finished; bytes that are not UTF-8 become U+FFFD */
  texts = new Map();
  /** @type {Map<string, Uint8Array<ArrayBuffer>[]>} by the entry's id */
  #chunks = new Map();

  /** @param {FileEntry} entry */
  async open({ id }) {
    /** @type {Uint8Array<ArrayBuffer>[]} */
    const chunks = [];
    this.#chunks.set(id, chunks);
    return {
      storedBytes: 0,
      read: async () => new Uint8Array(0),
      write: async (/** @type {number} */ _at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => void chunks.push(bytes),
      close: async () => {},
    };
  }

  /** @param {FileEntry} entry */
  async remove({ id }) {
    this.#chunks.delete(id);
  }

  /**
   * @param {FileEntry[]} entries
   * @returns {Promise<never[]>} there is nothing to save
   */
  async finish(entries) {
    for (const { id } of entries) this.texts.set(id, await new Blob(this.#chunks.get(id)).text());
    this.#chunks.clear();
    return [];
  }

  async abort() {
    this.#chunks.clear();
  }
}
