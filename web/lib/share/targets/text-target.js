/** A download target for entries with `text: true`: it keeps them as strings, to be shown. */

import { MemoryFiles } from "./memory-files.js";

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../download-target.js").DownloadTarget} DownloadTarget */

/** @implements {DownloadTarget} */
export class TextTarget extends MemoryFiles {
  /** @type {Map<string, string>} by the entry's id, once the download is finished; bytes that are not UTF-8 become U+FFFD */
  texts = new Map();

  /**
   * @param {FileEntry[]} entries
   * @returns {Promise<never[]>} there is nothing to save
   */
  async finish(entries) {
    for (const entry of entries) this.texts.set(entry.id, await this.blobOf(entry).text());
    await this.abort(); // the bytes are not needed any more
    return [];
  }
}
