/** Standard output as the target of one file: each piece is written as soon as its hash is right, and nothing is kept. */

import { TransferError } from "../share/errors.js";

/** @typedef {import("../share/download-target.js").DownloadTarget} DownloadTarget */

/** @implements {DownloadTarget} */
export class StdoutTarget {
  allOrNothing = true;
  reusedBytes = 0;

  async open() {
    return {
      storedBytes: 0,
      read: async () => new Uint8Array(0),
      write: async (/** @type {number} */ _at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
        // The next piece waits until the reader has taken this one. A closed pipe ends the command: see terminal.js.
        await new Promise((resolve) => process.stdout.write(bytes, resolve));
        return bytes;
      },
      close: async () => {},
    };
  }

  async remove() {
    throw new TransferError("refused", "what was written to standard output cannot be taken back");
  }

  /** @returns {Promise<never[]>} no file has got a name */
  async finish() {
    return [];
  }

  async abort() {}
}
