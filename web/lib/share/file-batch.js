/**
 * Small files of a download that are requested, checked and stored together: a request, an answer and a
 * write for each of thousands of files would take far longer than their bytes.
 */

import { MAX_BATCH_BYTES, MAX_BATCH_FILES, SMALL_FILE_BYTES } from "./protocol.js";
import { pieceHash } from "./piece-hash.js";

/** @typedef {import("./download-target.js").BatchFile} BatchFile */
/** @typedef {import("./download-target.js").DownloadTarget} DownloadTarget */
/** @typedef {import("./file-part.js").FilePart} FilePart */
/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

export class FileBatch {
  /** @type {Promise<Array<Bytes | null>> | null} what an earlier download has stored, by index */
  #stored = null;

  /** @param {FilePart[]} parts small files, within the limits of a batch */
  constructor(parts) {
    this.parts = parts;
  }

  /** @returns {boolean} whether each file is confirmed or has failed */
  get isSettled() {
    return this.parts.every((part) => part.isSettled);
  }

  /**
   * @param {DownloadTarget} target
   * @returns {Promise<Map<FilePart, string>>} the hashes of the files that an earlier download has stored
   */
  async storedHashes(target) {
    const entries = this.parts.map(({ entry }) => entry);
    this.#stored ??= target.readBatch?.(entries) ?? Promise.resolve(entries.map(() => null));
    const hashes = new Map();
    for (const [index, bytes] of (await this.#stored).entries()) {
      if (bytes) hashes.set(this.parts[index], await pieceHash(bytes));
    }
    return hashes;
  }

  /**
   * Stores the files and closes them.
   *
   * @param {DownloadTarget} target
   * @param {Map<FilePart, Bytes | "same">} contents of the files that have not failed
   */
  async write(target, contents) {
    const stored = (await this.#stored) ?? [];
    this.#stored = null;
    const files = this.parts.map((part, index) => {
      const content = contents.get(part) ?? null;
      const isStored = content === "same";
      return { entry: part.entry, bytes: isStored ? stored[index] : content, isStored };
    });
    await (target.writeBatch ? target.writeBatch(files) : writeEach(target, files));
  }
}

/**
 * @param {FilePart[]} parts
 * @param {boolean} keepOrder the target is a stream, of which the order of the files is known in advance
 * @returns {Array<FilePart | FileBatch>} the small files in batches, each of the others alone
 */
export function groupParts(parts, keepOrder) {
  const isSmall = (/** @type {FilePart} */ { entry }) => entry.size <= SMALL_FILE_BYTES;
  const ordered = keepOrder ? parts : [...parts.filter(isSmall), ...parts.filter((part) => !isSmall(part))];
  const groups = [];
  let batch = /** @type {FilePart[]} */ ([]);
  let bytes = 0;
  for (const part of ordered) {
    if (!isSmall(part)) {
      groups.push(part);
      batch = [];
      continue;
    }
    if (batch.length === 0 || batch.length === MAX_BATCH_FILES || bytes + part.entry.size > MAX_BATCH_BYTES) {
      batch = [];
      bytes = 0;
      groups.push(new FileBatch(batch));
    }
    batch.push(part);
    bytes += part.entry.size;
  }
  return groups;
}

/**
 * @param {DownloadTarget} target that stores one file after the other
 * @param {BatchFile[]} files
 */
async function writeEach(target, files) {
  for (const { entry, bytes } of files) {
    if (!bytes) continue;
    const sink = await target.open(entry);
    if (bytes.length > 0) await sink.write(0, bytes);
    await sink.close();
  }
}
