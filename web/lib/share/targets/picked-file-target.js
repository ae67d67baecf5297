/**
 * A file that the person picked, as a target for one file. The browser keeps what is
 * written beside it until the end, so what is not whole never stands under its name.
 */

import { writing } from "./folder-target.js";

/** @typedef {import("../catalogue.js").Entry} Entry */
/** @typedef {import("./target.js").Target} Target */

/** @implements {Target} */
export class PickedFileTarget {
  whole = true;
  #handle;
  #stream = /** @type {FileSystemWritableFileStream | null} */ (null);

  /** @param {FileSystemFileHandle} handle that may be written to */
  constructor(handle) {
    this.#handle = handle;
  }

  async open() {
    const stream = await writing(() => this.#handle.createWritable());
    this.#stream = stream;
    return {
      stored: 0,
      read: async () => new Uint8Array(0),
      write: async (/** @type {number} */ at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
        await writing(() => stream.write({ type: "write", position: at, data: bytes }));
        return bytes;
      },
      // Not before the sender has agreed on the hash: closing is what makes it whole.
      close: async () => {},
    };
  }

  async drop() {}

  async finish() {
    await writing(async () => this.#stream?.close());
    return [{ name: this.#handle.name, blob: null }];
  }

  async abort() {
    await this.#stream?.abort().catch(() => {});
    // The picker has made the file, or emptied it: what is empty is of no use to anybody.
    const { size } = await this.#handle.getFile();
    if (size === 0) await /** @type {any} */ (this.#handle).remove?.();
  }
}
