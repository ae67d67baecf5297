/**
 * A file that the user has picked, as a target for one file. The browser writes to a temporary file and
 * renames it at the end, so an incomplete file never has the picked name.
 */

import { writeToPickedPlace, writerTo } from "./picked-place.js";

/** @typedef {import("../download-target.js").DownloadTarget} DownloadTarget */

/** @implements {DownloadTarget} */
export class PickedFileTarget {
  allOrNothing = true;
  #handle;
  #stream = /** @type {FileSystemWritableFileStream | null} */ (null);

  /** @param {FileSystemFileHandle} handle with write permission */
  constructor(handle) {
    this.#handle = handle;
  }

  async open() {
    const stream = await writeToPickedPlace(() => this.#handle.createWritable());
    this.#stream = stream;
    return {
      storedBytes: 0,
      read: async () => new Uint8Array(0),
      write: writerTo(stream),
      // Only `finish` closes the stream, after the sender has confirmed the hash.
      close: async () => {},
    };
  }

  async remove() {}

  async finish() {
    await writeToPickedPlace(async () => this.#stream?.close());
    return [{ name: this.#handle.name, blob: null }];
  }

  async abort() {
    await this.#stream?.abort().catch(() => {});
    // The picker has created the file, or truncated it. An empty file is removed.
    const { size } = await this.#handle.getFile();
    if (size === 0) await /** @type {any} */ (this.#handle).remove?.();
  }
}
