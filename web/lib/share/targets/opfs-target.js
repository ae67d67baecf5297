/**
 * The browser's origin private file system (OPFS) as a download target. A worker writes the pieces in
 * place, so what is stored survives a reload, a crash or an empty battery.
 *
 * A file's name is derived from the share and its path. The file is kept while a page has it open (the
 * browser copies from it), and after that until a download continues it, or for a day.
 */

import { utf8 } from "../../util/bytes.js";
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
  /** @type {Map<string, string>} names in the file system, by the entry's id */
  #names = new Map();

  /** @param {string} scope */
  constructor(scope) {
    this.#scope = scope;
  }

  /** @param {FileEntry} entry */
  async open(entry) {
    const name = await storedName(this.#scope, entry);
    await holdLock(name);
    this.#names.set(entry.id, name);
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

  /** @param {FileEntry} entry */
  async remove({ id }) {
    const name = this.#names.get(id);
    if (name) await this.#worker.call("remove", { name });
  }

  /** @param {FileEntry[]} entries */
  async finish(entries) {
    const folder = await openFolder();
    const files = [];
    for (const entry of entries) {
      const handle = await folder.getFileHandle(this.#names.get(entry.id) ?? "");
      files.push({ entry, blob: await handle.getFile() });
    }
    this.#worker.terminate();
    return bundleFiles(files);
  }

  /** @param {{keep: boolean}} options */
  async abort({ keep }) {
    for (const name of this.#names.values()) await this.#worker.call(keep ? "close" : "remove", { name });
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
