/**
 * The browser's private file system (OPFS) as a target: pieces are written in place by a
 * worker, so what was stored is still there after a reload, a crash or a flat battery.
 *
 * A file is named after the share and its own path. It stays for the page that has it
 * open (the browser copies from it), then until it is taken up again, or for a day.
 */

import { utf8 } from "../../util/bytes.js";
import { TransferError } from "../../util/errors.js";
import { pieceHash } from "../piece-layout.js";

/** @typedef {import("../catalogue.js").Entry} Entry */
/** @typedef {import("./target.js").Target} Target */

const FOLDER = "handclasp";
/** What nobody took up again for so long is thrown away (ms). */
const KEPT = 24 * 60 * 60 * 1_000;
/** The download that follows copies the file, so it needs its room twice. */
const COPIES = 2;

/** @implements {Target} */
export class DiskTarget {
  whole = false;
  #scope;
  #bundle;
  #disk = new Disk();
  /** @type {Map<string, string>} names on the disk, by the entry's id */
  #names = new Map();

  /**
   * @param {string} scope
   * @param {(files: Array<{entry: Entry, blob: Blob}>) => Promise<import("./target.js").Saved[]>} bundle
   */
  constructor(scope, bundle) {
    this.#scope = scope;
    this.#bundle = bundle;
  }

  /** @param {Entry} entry */
  async open(entry) {
    const name = await diskName(this.#scope, entry);
    await holdLock(name);
    this.#names.set(entry.id, name);
    const stored = await this.#disk.call("open", { name, size: entry.size });
    return {
      stored,
      read: (/** @type {number} */ at, /** @type {number} */ length) => this.#disk.call("read", { name, at, length }),
      write: (/** @type {number} */ at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
        return this.#disk.call("write", { name, at, bytes }, [bytes.buffer]);
      },
      close: () => this.#disk.call("close", { name }),
    };
  }

  /** @param {Entry} entry */
  async drop({ id }) {
    const name = this.#names.get(id);
    if (name) await this.#disk.call("remove", { name });
  }

  /** @param {Entry[]} entries */
  async finish(entries) {
    const folder = await openFolder();
    const files = [];
    for (const entry of entries) {
      const handle = await folder.getFileHandle(this.#names.get(entry.id) ?? "");
      files.push({ entry, blob: await handle.getFile() });
    }
    this.#disk.end();
    return this.#bundle(files);
  }

  /** @param {{keep: boolean}} options */
  async abort({ keep }) {
    for (const name of this.#names.values()) await this.#disk.call(keep ? "close" : "remove", { name });
    this.#disk.end();
  }
}

/**
 * @param {string} scope
 * @returns {Promise<number>} bytes of files that this browser can take; 0 where it has no such disk.
 *   What the share left there before counts as room.
 */
export async function diskRoom(scope) {
  if (!globalThis.Worker || !globalThis.navigator?.storage?.getDirectory || !navigator.locks) return 0;
  try {
    const folder = await openFolder();
    const own = await sweep(folder, await scopeName(scope));
    const { quota = 0, usage = 0 } = await navigator.storage.estimate();
    return Math.max(0, (quota - usage + own) / COPIES);
  } catch {
    return 0; // private windows of some browsers have the functions and refuse them
  }
}

/** The worker, and calls to it: each is answered in its turn. */
class Disk {
  #worker = new Worker(new URL("./opfs-worker.js", import.meta.url), { type: "module" });
  /** @type {Array<{resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #calls = [];
  #ended = false;

  constructor() {
    this.#worker.onmessage = ({ data: { value, error, name } }) => {
      const call = this.#calls.shift();
      if (error === undefined) call?.resolve(value);
      else call?.reject(storageError(name, error));
    };
    this.#worker.onerror = ({ message }) => {
      for (const call of this.#calls.splice(0)) call.reject(storageError("Error", message));
    };
  }

  /**
   * @param {"open" | "read" | "write" | "close" | "remove"} what
   * @param {Record<string, any>} details
   * @param {Transferable[]} [transfer] buffers of theirs that need not be copied
   * @returns {Promise<any>}
   */
  call(what, details, transfer = []) {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(storageError("Error", "disk is closed"));
      this.#calls.push({ resolve, reject });
      this.#worker.postMessage({ what, folder: FOLDER, ...details }, transfer);
    });
  }

  end() {
    this.#ended = true;
    this.#worker.terminate();
  }
}

/**
 * @param {string} name of the browser's error
 * @param {string} message
 */
function storageError(name, message) {
  const reason = name === "NoModificationAllowedError" ? "busy_disk" : "storage";
  return new TransferError(reason, `file cannot be written on this device: ${message}`);
}

async function openFolder() {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

/** @param {string} scope */
async function scopeName(scope) {
  return (await pieceHash(utf8(scope))).slice(0, 16);
}

/**
 * @param {string} scope
 * @param {Entry} entry
 */
async function diskName(scope, { path, size }) {
  return `${await scopeName(scope)}-${(await pieceHash(utf8(JSON.stringify([path, size])))).slice(0, 32)}`;
}

/**
 * Throws away what no page has open and nobody came back for.
 *
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} own how names of this share begin
 * @returns {Promise<number>} bytes that this share has there
 */
async function sweep(folder, own) {
  let bytes = 0;
  const handles = [];
  for await (const handle of folder.values()) handles.push(handle);
  for (const handle of handles) {
    const file = await /** @type {FileSystemFileHandle} */ (handle).getFile();
    if (handle.name.startsWith(own)) bytes += file.size;
    if (Date.now() - file.lastModified < KEPT) continue;
    await navigator.locks.request(lockName(handle.name), { ifAvailable: true }, async (lock) => {
      // Another page may sweep at the same time and be first.
      if (lock) await folder.removeEntry(handle.name).catch(() => {});
    });
  }
  return bytes;
}

/**
 * The page's lock on a file ends with the page, however that ends; it is never given back.
 *
 * @param {string} name
 * @returns {Promise<void>} when this page has it, or had it, or another page keeps it from us
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
