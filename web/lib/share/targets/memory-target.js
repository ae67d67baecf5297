/** A download target in memory, for browsers without a private file system and without service workers. */

import { MemoryFiles } from "./memory-files.js";
import { bundleFiles } from "./zip-bundle.js";

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../download-target.js").DownloadTarget} DownloadTarget */

export const MEMORY_LIMIT = 512 * 1024 * 1024;

/** @implements {DownloadTarget} */
export class MemoryTarget extends MemoryFiles {
  /** @param {FileEntry[]} entries */
  async finish(entries) {
    return bundleFiles(entries.map((entry) => ({ entry, blob: this.blobOf(entry) })));
  }
}
