/**
 * The browser's origin private file system (OPFS) as a download target. A worker writes the pieces in
 * place, so what is stored survives a reload, a crash or an empty battery.
 *
 * A file's name is derived from the share and its path. The file is kept while a page has it open (the
 * browser copies from it), and after that until a download continues it, or for a day.
 */

import { utf8 } from "../../util/bytes.js";
import { crc32 } from "../../util/crc32.js";
import { TransferError } from "../errors.js";
import { pieceHash } from "../piece-hash.js";
import { bundleFiles } from "./zip-bundle.js";

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../download-target.js").DownloadTarget} DownloadTarget */

const FOLDER = "handclasp";
/** Files that no download has continued for this long are deleted (ms). */
const MAX_AGE = 24 * 60 * 60 * 1_000;
/** The browser's download copies the file, so it needs its size twice. */
const COPIES = 2;

/** @implements {DownloadTarget} */
export class OpfsTarget {
  allOrNothing = false;
  #scope;
  #worker = new OpfsWorker();
  /** @type {Map<string, {name: string, at: number | null}>} by the entry's id; at: in a file of many small ones */
  #places = new Map();

  /** @param {string} scope */
  constructor(scope) {
    this.#scope = scope;
  }

  /** @param {FileEntry} entry */
  async open(entry) {
    const name = await storedName(this.#scope, entry);
    await holdLock(name);
    this.#places.set(entry.id, { name, at: null });
    const storedBytes = await this.#worker.call("open", { name, size: entry.size });
    return {
      storedBytes,
      read: (/** @type {number} */ at, /** @type {number} */ length) => this.#worker.call("read", { name, at, length }),
      write: (/** @type {number} */ at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
        return this.#worker.call("write", { name, at, bytes }, [bytes.buffer]);
      },
      close: () => this.#worker.call("close", { name }),
    };
  }

  /**
   * Small files are stored in one file of the file system, one after the other: creating a file takes a
   * browser far longer than writing it.
   *
   * @param {FileEntry[]} entries
   */
  async readBatch(entries) {
    const name = await batchName(this.#scope, entries);
    await holdLock(name);
    let size = 0;
    for (const entry of entries) {
      this.#places.set(entry.id, { name, at: size });
      size += entry.size;
    }
    const storedBytes = await this.#worker.call("open", { name, size });
    const stored = storedBytes > 0 ? await this.#worker.call("read", { name, at: 0, length: storedBytes }) : new Uint8Array(0);
    return entries.map((entry) => {
      const { at } = this.#place(entry);
      return at + entry.size <= storedBytes && storedBytes > 0 ? stored.slice(at, at + entry.size) : null;
    });
  }

  /** @param {import("../download-target.js").BatchFile[]} files */
  async writeBatch(files) {
    const { name } = this.#place(files[0].entry);
    const bytes = new Uint8Array(files.reduce((sum, { entry }) => sum + entry.size, 0));
    for (const file of files) if (file.bytes) bytes.set(file.bytes, this.#place(file.entry).at);
    if (files.some((file) => file.bytes && !file.isStored)) await this.#worker.call("write", { name, at: 0, bytes }, [bytes.buffer]);
    await this.#worker.call("close", { name });
  }

  /** @param {FileEntry} entry of a batch */
  #place({ id }) {
    return /** @type {{name: string, at: number}} */ (this.#places.get(id));
  }

  /** @param {FileEntry} entry */
  async remove({ id }) {
    const place = this.#places.get(id);
    // A failed file of a batch was not written, and the others stay.
    if (place?.at === null) await this.#worker.call("remove", { name: place.name });
  }

  /** @param {FileEntry[]} entries */
  async finish(entries) {
    const folder = await openFolder();
    const files = [];
    let open = /** @type {{name: string, file: File, bytes: Uint8Array<ArrayBuffer>} | null} */ (null);
    for (const entry of entries) {
      const { name, at } = /** @type {{name: string, at: number | null}} */ (this.#places.get(entry.id));
      if (at === null) {
        files.push({ entry, blob: await fileIn(folder, name) });
        continue;
      }
      if (open?.name !== name) {
        const file = await fileIn(folder, name);
        open = { name, file, bytes: new Uint8Array(await file.arrayBuffer()) };
      }
      const end = at + entry.size;
      files.push({ entry, blob: open.file.slice(at, end), crc: crc32(open.bytes.subarray(at, end)) });
    }
    this.#worker.terminate();
    return bundleFiles(files);
  }

  /** @param {{keep: boolean}} options */
  async abort({ keep }) {
    const names = new Set(Array.from(this.#places.values(), ({ name }) => name));
    for (const name of names) await this.#worker.call(keep ? "close" : "remove", { name });
    this.#worker.terminate();
  }
}

/**
 * @param {string} scope
 * @returns {Promise<number>} bytes of files that fit; 0 in a browser without OPFS. Files of the same
 *   share that are stored already count as room.
 */
export async function opfsRoom(scope) {
  if (!globalThis.Worker || !globalThis.navigator?.storage?.getDirectory || !navigator.locks) return 0;
  try {
    const folder = await openFolder();
    const own = await deleteOldFiles(folder, await scopePrefix(scope));
    const { quota = 0, usage = 0 } = await navigator.storage.estimate();
    return Math.max(0, (quota - usage + own) / COPIES);
  } catch {
    return 0; // private windows of some browsers have the functions, but they fail
  }
}

/** Calls to the worker, which are answered in order. */
class OpfsWorker {
  #worker = new Worker(new URL("./opfs-worker.js", import.meta.url), { type: "module" });
  /** @type {Array<{resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #calls = [];
  #isTerminated = false;

  constructor() {
    this.#worker.onmessage = ({ data: { value, error, name } }) => {
      const call = this.#calls.shift();
      if (error === undefined) call?.resolve(value);
      else call?.reject(toTransferError(name, error));
    };
    this.#worker.onerror = ({ message }) => {
      for (const call of this.#calls.splice(0)) call.reject(toTransferError("Error", message));
    };
  }

  /**
   * @param {"open" | "read" | "write" | "close" | "remove"} method
   * @param {Record<string, any>} args
   * @param {Transferable[]} [transfer] buffers of `args` that are moved instead of copied
   * @returns {Promise<any>}
   */
  call(method, args, transfer = []) {
    return new Promise((resolve, reject) => {
      if (this.#isTerminated) return reject(toTransferError("Error", "file system is closed"));
      this.#calls.push({ resolve, reject });
      this.#worker.postMessage({ method, folder: FOLDER, ...args }, transfer);
    });
  }

  terminate() {
    this.#isTerminated = true;
    this.#worker.terminate();
  }
}

/**
 * @param {string} name of the browser's error
 * @param {string} message
 */
function toTransferError(name, message) {
  const reason = name === "NoModificationAllowedError" ? "busy_disk" : "storage";
  return new TransferError(reason, `file cannot be written on this device: ${message}`);
}

async function openFolder() {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

/** @param {string} scope */
async function scopePrefix(scope) {
  return (await pieceHash(utf8(scope))).slice(0, 16);
}

/**
 * @param {string} scope
 * @param {FileEntry} entry
 */
async function storedName(scope, { path, size }) {
  return `${await scopePrefix(scope)}-${(await pieceHash(utf8(JSON.stringify([path, size])))).slice(0, 32)}`;
}

/**
 * @param {string} scope
 * @param {FileEntry[]} entries of a batch
 */
async function batchName(scope, entries) {
  const files = entries.map(({ path, size }) => [path, size]);
  return `${await scopePrefix(scope)}-${(await pieceHash(utf8(JSON.stringify(files)))).slice(0, 32)}`;
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 */
async function fileIn(folder, name) {
  return (await folder.getFileHandle(name)).getFile();
}

/**
 * Deletes the files that no page has open and no download has continued.
 *
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} prefix of the names of this share's files
 * @returns {Promise<number>} stored bytes of this share
 */
async function deleteOldFiles(folder, prefix) {
  let bytes = 0;
  const handles = [];
  for await (const handle of folder.values()) handles.push(handle);
  for (const handle of handles) {
    const file = await /** @type {FileSystemFileHandle} */ (handle).getFile();
    if (handle.name.startsWith(prefix)) bytes += file.size;
    if (Date.now() - file.lastModified < MAX_AGE) continue;
    await navigator.locks.request(lockName(handle.name), { ifAvailable: true }, async (lock) => {
      // Another page may have deleted it at the same time.
      if (lock) await folder.removeEntry(handle.name).catch(() => {});
    });
  }
  return bytes;
}

/**
 * Locks a file until the page is closed, however that happens.
 *
 * @param {string} name
 * @returns {Promise<void>} resolves when this page has the lock, or another page has it
 */
function holdLock(name) {
  return new Promise((resolve) => {
    navigator.locks.request(lockName(name), { ifAvailable: true }, (lock) => {
      resolve();
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}

/** @param {string} name */
function lockName(name) {
  return `${FOLDER}/${name}`;
}
