/** Received files in memory, on which download targets build: they differ in what they make of them at the end. */

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */

export class MemoryFiles {
  allOrNothing = false;
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

  async abort() {
    this.#chunks.clear();
  }

  /**
   * @param {FileEntry} entry
   * @returns {Blob} what has been written of it
   * @protected
   */
  blobOf({ id }) {
    return new Blob(this.#chunks.get(id));
  }
}
