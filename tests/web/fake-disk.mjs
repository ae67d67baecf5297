/** A download target in memory whose files outlive the download, like those of OPFS. */

import { TransferError } from "../../web/lib/share/index.js";

export class FakeDisk {
  allOrNothing = false;
  /** Total bytes written. */
  written = 0;
  /** @type {Map<string, Buffer>} */
  #files = new Map();
  #delay;
  #room;

  /**
   * @param {object} [options]
   * @param {number} [options.delay] ms per write
   * @param {number} [options.room] bytes until it is full
   */
  constructor({ delay = 0, room = Infinity } = {}) {
    this.#delay = delay;
    this.#room = room;
  }

  get names() {
    return [...this.#files.keys()];
  }

  /** Stores a file as an earlier download would. */
  put(name, bytes) {
    this.#files.set(name, Buffer.from(bytes));
  }

  bytes(name) {
    return this.#files.get(name);
  }

  async open({ path }) {
    const name = path.join("/");
    if (!this.#files.has(name)) this.#files.set(name, Buffer.alloc(0));
    return {
      storedBytes: this.#files.get(name).length,
      read: async (at, length) => new Uint8Array(this.#files.get(name).subarray(at, at + length)),
      write: (at, bytes) => this.#write(name, at, bytes),
      close: async () => {},
    };
  }

  async remove({ path }) {
    this.#files.delete(path.join("/"));
  }

  async finish(entries) {
    return entries.map(({ path }) => ({ name: path.join("/"), blob: null }));
  }

  async abort({ keep }) {
    if (!keep) this.#files.clear();
  }

  async #write(name, at, bytes) {
    if (this.#delay > 0) await new Promise((resolve) => setTimeout(resolve, this.#delay));
    if (this.written + bytes.length > this.#room) {
      throw new TransferError("storage", "disk is full");
    }
    const before = this.#files.get(name);
    const after = Buffer.alloc(Math.max(before.length, at + bytes.length));
    before.copy(after);
    after.set(bytes, at);
    this.#files.set(name, after);
    this.written += bytes.length;
    return bytes;
  }
}
