/**
 * A folder on the disk as a target. A file grows under a name that ends in `.part`, which a
 * later try goes on with, and gets its own name when all of the download is agreed and flushed to
 * the disk. Nothing that is there already is overwritten.
 */

import { constants } from "node:fs";
import { link, mkdir, open, rename, stat, unlink } from "node:fs/promises";
import { dirname, join, parse } from "node:path";
import { toHex, utf8 } from "../util/bytes.js";
import { TransferError } from "../util/errors.js";

/** @typedef {import("../share/catalogue.js").Entry} Entry */
/** @typedef {import("../share/targets/target.js").Target} Target */
/** @typedef {{part: string, handle: import("node:fs/promises").FileHandle, fetched: number}} Open */

/** What a disk says that knows no second name for a file. */
const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"];

/** @implements {Target} */
export class DiskFolder {
  whole = false;
  /** Bytes of what is finished that an earlier try had stored. */
  kept = 0;
  #root;
  #scope;
  /** @type {Map<string, Open>} by the entry's id */
  #files = new Map();

  /**
   * @param {string} root made when it is not there
   * @param {string} scope names the share, so that a later try finds what this one stored
   */
  constructor(root, scope) {
    this.#root = root;
    this.#scope = scope;
  }

  /** @param {Entry} entry */
  open(entry) {
    return this.#writing(async () => {
      const part = `${this.#pathOf(entry)}.${await tagOf(this.#scope, entry)}.part`;
      await mkdir(dirname(part), { recursive: true });
      const handle = await open(part, constants.O_RDWR | constants.O_CREAT);
      const file = { part, handle, fetched: 0 };
      this.#files.set(entry.id, file);
      const { size } = await handle.stat();
      return {
        stored: Math.min(size, entry.size),
        read: (/** @type {number} */ at, /** @type {number} */ length) => this.#writing(() => readAll(handle, at, length)),
        write: async (/** @type {number} */ at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
          file.fetched += bytes.length;
          await this.#writing(() => writeAll(handle, at, bytes));
          return bytes;
        },
        close: () => this.#writing(() => settle(handle, entry.size)),
      };
    });
  }

  /** @param {Entry} entry */
  async drop({ id }) {
    const file = this.#files.get(id);
    if (!file) return;
    await file.handle.close().catch(() => {}); // it may be closed already
    await unlink(file.part).catch(() => {});
  }

  /** @param {Entry[]} entries */
  finish(entries) {
    return this.#writing(async () => {
      const saved = [];
      const folders = new Set([this.#root]);
      for (const entry of entries) {
        const path = this.#pathOf(entry);
        const file = /** @type {Open} */ (this.#files.get(entry.id));
        const name = await giveName(file.part, path);
        folders.add(dirname(path));
        saved.push({ name, blob: null });
        this.kept += entry.size - file.fetched;
      }
      for (const folder of folders) await flushFolder(folder);
      return saved;
    });
  }

  /** What is there is what the next try goes on with, whoever ended this one. */
  async abort() {
    for (const { handle } of this.#files.values()) await handle.close().catch(() => {});
  }

  /** @param {Entry} entry whose names are harmless already */
  #pathOf({ path }) {
    return join(this.#root, ...path);
  }

  /**
   * @template T
   * @param {() => Promise<T>} work on the disk
   * @returns {Promise<T>}
   * @throws {TransferError} `storage`
   */
  async #writing(work) {
    try {
      return await work();
    } catch (error) {
      const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
      const words = code === "ENOSPC" || code === "EDQUOT" ? "The disk is full" : `It cannot be written (${message})`;
      const cure = "What has arrived is kept: make room or choose another folder with --out, and run the same command again.";
      throw new TransferError("storage", `${words}: ${this.#root}. ${cure}`, { cause: error });
    }
  }
}

/**
 * @param {string} scope
 * @param {Entry} entry
 */
async function tagOf(scope, { path, size }) {
  const digest = await crypto.subtle.digest("SHA-256", utf8(JSON.stringify([scope, path, size])));
  return toHex(new Uint8Array(digest)).slice(0, 8);
}

/**
 * @param {import("node:fs/promises").FileHandle} handle
 * @param {number} at
 * @param {number} length
 */
async function readAll(handle, at, length) {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, length - done, at + done);
    if (bytesRead === 0) break; // it was cut meanwhile: what is missing compares as wrong
    done += bytesRead;
  }
  return bytes;
}

/**
 * @param {import("node:fs/promises").FileHandle} handle
 * @param {number} at
 * @param {Uint8Array} bytes
 */
async function writeAll(handle, at, bytes) {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}

/**
 * @param {import("node:fs/promises").FileHandle} handle
 * @param {number} size
 */
async function settle(handle, size) {
  await handle.truncate(size);
  await handle.sync();
  await handle.close();
}

/**
 * @param {string} part
 * @param {string} path wished for
 * @returns {Promise<string>} the first of `name`, `name (2)`… that nobody has
 */
async function giveName(part, path) {
  const { dir, name, ext } = parse(path);
  let free = path;
  for (let n = 2; !(await moved(part, free)); n++) free = join(dir, `${name} (${n})${ext}`);
  return free;
}

/**
 * @param {string} part
 * @param {string} path
 * @returns {Promise<boolean>} false when there is something already
 */
async function moved(part, path) {
  try {
    // A link fails where a rename would overwrite.
    await link(part, path);
    await unlink(part);
    return true;
  } catch (error) {
    const code = String(/** @type {NodeJS.ErrnoException} */ (error).code);
    if (code === "EEXIST") return false;
    if (!NO_LINKS.includes(code)) throw error;
  }
  if (await stat(path).catch(() => null)) return false;
  await rename(part, path);
  return true;
}

/** @param {string} path whose new names shall outlive a power cut, where the system can */
async function flushFolder(path) {
  const handle = await open(path).catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
