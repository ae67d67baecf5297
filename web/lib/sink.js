/**
 * Where a receiver puts bytes. A sink gets them in order and gives the whole back as a
 * Blob; it knows nothing of networks or hashes.
 *
 * - `FileSink`: the browser's private file system (OPFS). Memory stays flat; the limit
 *   is the quota, usually more than half of the free disk.
 * - `MemorySink`: where there is no OPFS to write to. At most 512 MiB.
 */

import { TransferError } from "./errors.js";

/**
 * @typedef {object} Sink
 * @property {(bytes: Uint8Array<ArrayBuffer>) => Promise<void>} write resolves when it is stored
 * @property {() => Promise<Blob>} close the whole, after the last write
 * @property {() => Promise<void>} abort throws away what was stored
 */

const FOLDER = "handclasp";
export const MEMORY_LIMIT = 512 * 1024 * 1024;

/**
 * Picks the best sink that this browser has.
 *
 * @param {number} size bytes to come
 * @returns {Promise<Sink>}
 * @throws {TransferError} `too_large` for what this browser can store
 */
export async function openSink(size) {
  const folder = await privateFolder();
  if (!folder) return new MemorySink(size);
  const { quota = Infinity, usage = 0 } = await navigator.storage.estimate();
  if (size > quota - usage) {
    throw new TransferError("too_large", `file has ${size} bytes, this browser may store ${quota - usage}`);
  }
  return FileSink.open(folder);
}

/** Keeps everything in memory. @implements {Sink} */
export class MemorySink {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  #parts = [];

  /** @param {number} size bytes to come */
  constructor(size) {
    if (size <= MEMORY_LIMIT) return;
    throw new TransferError("too_large", `file has ${size} bytes, this browser can take ${MEMORY_LIMIT}`);
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  async write(bytes) {
    this.#parts.push(bytes);
  }

  async close() {
    return new Blob(this.#parts);
  }

  async abort() {
    this.#parts = [];
  }
}

/** Writes to a file of the origin's private file system. @implements {Sink} */
export class FileSink {
  #folder;
  #handle;
  #stream;

  /**
   * @param {FileSystemDirectoryHandle} folder
   * @param {FileSystemFileHandle} handle
   * @param {FileSystemWritableFileStream} stream
   */
  constructor(folder, handle, stream) {
    this.#folder = folder;
    this.#handle = handle;
    this.#stream = stream;
  }

  /** @param {FileSystemDirectoryHandle} folder */
  static async open(folder) {
    await sweep(folder);
    const name = crypto.randomUUID();
    await holdLock(name);
    const handle = await folder.getFileHandle(name, { create: true });
    return new FileSink(folder, handle, await handle.createWritable());
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  write(bytes) {
    return this.#stream.write(bytes);
  }

  async close() {
    await this.#stream.close();
    return this.#handle.getFile();
  }

  async abort() {
    // After a close there is no stream to abort any more; the file has to go all the same.
    await this.#stream.abort().catch(() => {});
    await this.#folder.removeEntry(this.#handle.name);
  }
}

/** @returns {Promise<FileSystemDirectoryHandle | null>} null where it cannot be written to */
async function privateFolder() {
  const canWrite = "createWritable" in (globalThis.FileSystemFileHandle?.prototype ?? {});
  if (!canWrite || !navigator.storage?.getDirectory || !navigator.locks) return null;
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(FOLDER, { create: true });
  } catch {
    return null; // private windows of some browsers have the functions and refuse them
  }
}

/**
 * A file stays while its page lives, since the browser copies from it after `close`.
 * The page's lock on it ends with the page, however that ends; what has no lock is garbage.
 *
 * @param {FileSystemDirectoryHandle} folder
 */
async function sweep(folder) {
  const names = [];
  for await (const name of folder.keys()) names.push(name);
  for (const name of names) {
    await navigator.locks.request(lockName(name), { ifAvailable: true }, async (lock) => {
      // Another page may sweep at the same time and be first.
      if (lock) await folder.removeEntry(name).catch(() => {});
    });
  }
}

/**
 * @param {string} name
 * @returns {Promise<void>} when the lock is held; it is never given back
 */
function holdLock(name) {
  return new Promise((resolve) => {
    navigator.locks.request(lockName(name), () => {
      resolve();
      return new Promise(() => {});
    });
  });
}

/** @param {string} name */
function lockName(name) {
  return `${FOLDER}/${name}`;
}
