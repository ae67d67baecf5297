/**
 * Where a download's files go, by what the browser can do. A target opens a sink for each
 * file and hands all over at the end; it knows nothing of networks or hashes.
 *
 * - `DiskTarget` (disk.js): the browser's private file system. Memory stays flat, and what
 *   is there survives a reload. First choice where there is room for it.
 * - `StreamTarget` (stream.js): a service worker feeds the browser's own download. Memory
 *   stays flat, the size has no limit, but a reload begins again.
 * - `MemoryTarget`: where there is neither. At most 512 MiB.
 * - `FolderTarget` (folder.js) and `PickedFileTarget` (pickedfile.js): a place that the person
 *   picked. Only on request, since a reload forgets it.
 */

import { crc32 } from "../../util/crc32.js";
import { DiskTarget, diskRoom } from "./opfs-target.js";
import { TransferError } from "../../util/errors.js";
import { StreamTarget, canStream } from "./stream-target.js";
import { directory, fileHeader, fileTrailer } from "./zip.js";

/** @typedef {import("../catalogue.js").Entry} Entry */
/** @typedef {{name: string, blob: Blob | null}} Saved blob: still to be given to the person */

/**
 * @typedef {object} Sink of one file
 * @property {number} stored bytes at its start that an earlier visit left there
 * @property {(at: number, length: number) => Promise<Uint8Array<ArrayBuffer>>} read of what is stored
 * @property {(at: number, bytes: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer> | void>} write
 *   resolves when it is stored; with the bytes, where the next piece may take their place
 * @property {() => Promise<void>} close after the last write
 */

/**
 * @typedef {object} Target
 * @property {boolean} whole a file that fails costs all: its place cannot be left out any more
 * @property {(entry: Entry) => Promise<Sink>} open files are opened in order; the next one may
 *   be opened before the one before is closed
 * @property {(entry: Entry) => Promise<void>} drop a file that failed
 * @property {(entries: Entry[]) => Promise<Saved[]>} finish
 * @property {(options: {keep: boolean}) => Promise<void>} abort keep: it may be tried again
 */

export const MEMORY_LIMIT = 512 * 1024 * 1024;

/**
 * Picks the best target that this browser has.
 *
 * @param {Entry[]} entries to come
 * @param {string} scope names the share, so that a later visit finds what this one stored
 * @returns {Promise<Target>}
 * @throws {TransferError} `too_large` for what this browser can store
 */
export async function openTarget(entries, scope) {
  const size = entries.reduce((sum, entry) => sum + entry.size, 0);
  const room = await diskRoom(scope);
  if (size <= room) return new DiskTarget(scope, bundle);
  if (await canStream()) return StreamTarget.open(entries, nameOf(entries));
  if (size <= MEMORY_LIMIT) return new MemoryTarget();
  throw new TransferError("too_large", `${size} bytes, this browser can take ${Math.max(room, MEMORY_LIMIT)}`);
}

/** Keeps everything in memory. @implements {Target} */
export class MemoryTarget {
  whole = false;
  /** @type {Map<string, Uint8Array<ArrayBuffer>[]>} by the entry's id */
  #files = new Map();

  /** @param {Entry} entry */
  async open({ id }) {
    /** @type {Uint8Array<ArrayBuffer>[]} */
    const parts = [];
    this.#files.set(id, parts);
    return {
      stored: 0,
      read: async () => new Uint8Array(0),
      write: async (/** @type {number} */ _at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => void parts.push(bytes),
      close: async () => {},
    };
  }

  /** @param {Entry} entry */
  async drop({ id }) {
    this.#files.delete(id);
  }

  /** @param {Entry[]} entries */
  async finish(entries) {
    return bundle(entries.map((entry) => ({ entry, blob: new Blob(this.#files.get(entry.id)) })));
  }

  async abort() {
    this.#files.clear();
  }
}

/**
 * One file as it is, several as a zip that refers to them and copies nothing.
 *
 * @param {Array<{entry: Entry, blob: Blob}>} files
 * @returns {Promise<Saved[]>}
 */
export async function bundle(files) {
  const name = nameOf(files.map(({ entry }) => entry));
  if (files.length === 1 && files[0].entry.path.length === 1) return [{ name, blob: files[0].blob }];
  /** @type {BlobPart[]} */
  const parts = [];
  const members = [];
  for (const { entry, blob } of files) {
    const member = { path: entry.path, size: blob.size, crc: await blobCrc(blob) };
    parts.push(fileHeader(member), blob, fileTrailer(member));
    members.push(member);
  }
  return [{ name, blob: new Blob([...parts, directory(members)], { type: "application/zip" }) }];
}

/**
 * @param {Entry[]} entries
 * @returns {string} of what the person gets: the file's, or a zip's
 */
export function nameOf(entries) {
  const [{ path }] = entries;
  if (entries.length === 1 && path.length === 1) return path[0];
  const isShared = path.length > 1 && entries.every((entry) => entry.path[0] === path[0]);
  return `${isShared ? path[0] : "handclasp"}.zip`;
}

/** @param {Blob} blob */
async function blobCrc(blob) {
  const step = 4 * 1024 * 1024;
  let crc = 0;
  for (let at = 0; at < blob.size; at += step) {
    crc = crc32(new Uint8Array(await blob.slice(at, at + step).arrayBuffer()), crc);
  }
  return crc;
}
