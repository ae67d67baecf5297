/**
 * A directory on disk as a download target. A file is written under a name that ends in `.part`, from
 * which a later download continues. That name has the id of the process that writes it, so that two
 * commands in one directory do not write into one file: each continues only from what an ended process has
 * left, and takes it by renaming it. A file gets its own name when the whole download is confirmed and flushed
 * to disk. No existing file is overwritten, and nothing is written through a symbolic link below the
 * directory: the names come from a stranger, and a link may lead anywhere.
 */

import { constants } from "node:fs";
import { link, lstat, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, join, parse } from "node:path";
import { TransferError } from "../share/errors.js";
import { toHex, utf8 } from "../util/bytes.js";
import { mapLimited } from "../util/map-limited.js";

/** @typedef {import("../share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../share/download-target.js").DownloadTarget} DownloadTarget */
/** @typedef {{part: string, handle: import("node:fs/promises").FileHandle, receivedBytes: number}} PartialFile */

/** The error codes of file systems without hard links. */
const NO_HARD_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"];

/** How many small files are written, and renamed, at a time. */
const FILES_AT_A_TIME = 16;

/** @implements {DownloadTarget} */
export class DirectoryTarget {
  allOrNothing = false;
  /** Bytes of the finished files that an earlier download had stored. */
  reusedBytes = 0;
  #root;
  #scope;
  /** @type {Map<string, PartialFile>} by the entry's id */
  #files = new Map();
  /** @type {Map<string, Promise<string[]>>} by folder */
  #parts = new Map();

  /**
   * @param {string} root created if it does not exist
   * @param {string} scope identifies the share, so that a later download finds what this one has stored
   */
  constructor(root, scope) {
    this.#root = root;
    this.#scope = scope;
  }

  /** @param {FileEntry} entry */
  open(entry) {
    return this.#access(async () => {
      await this.#createFolders(entry);
      const part = await this.#takePart(await this.#stemOf(entry));
      const handle = await openFile(part);
      const file = { part, handle, receivedBytes: 0 };
      this.#files.set(entry.id, file);
      // Again, in case that a folder was replaced in the meantime; nothing is written yet.
      await this.#createFolders(entry);
      const { size } = await handle.stat();
      return {
        storedBytes: Math.min(size, entry.size),
        read: (/** @type {number} */ at, /** @type {number} */ length) => this.#access(() => readAll(handle, at, length)),
        write: async (/** @type {number} */ at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
          file.receivedBytes += bytes.length;
          await this.#access(() => writeAll(handle, at, bytes));
          return bytes;
        },
        close: () => this.#access(() => flushFile(handle, entry.size)),
      };
    });
  }

  /** @param {FileEntry[]} entries of small files */
  readBatch(entries) {
    return mapLimited(entries, FILES_AT_A_TIME, (entry) => {
      return this.#access(async () => {
        if (entry.isFolder) return null;
        const stem = await this.#stemOf(entry);
        const parts = await this.#partsIn(dirname(stem));
        if (!parts.some((name) => name.startsWith(`${basename(stem)}-`))) return null;
        const { storedBytes, read } = await this.open(entry);
        const bytes = storedBytes === entry.size ? await read(0, storedBytes) : null;
        await this.#files.get(entry.id)?.handle.close();
        return bytes;
      });
    });
  }

  /** @param {import("../share/download-target.js").BatchFile[]} files */
  async writeBatch(files) {
    await mapLimited(files, FILES_AT_A_TIME, async ({ entry, bytes, isStored }) => {
      if (!bytes || entry.isFolder) return;
      const { write, close } = await this.open(entry);
      if (!isStored) await write(0, bytes);
      await close();
    });
  }

  /** @param {FileEntry} entry */
  async remove({ id }) {
    const file = this.#files.get(id);
    if (!file) return;
    await file.handle.close().catch(() => {}); // it may be closed already
    await unlink(file.part).catch(() => {});
  }

  /** @param {FileEntry[]} entries */
  finish(entries) {
    return this.#access(async () => {
      const folders = new Set([this.#root]);
      const saved = await mapLimited(entries, FILES_AT_A_TIME, async (entry) => {
        const path = this.#pathOf(entry);
        await this.#createFolders(entry);
        if (entry.isFolder) return { name: `${path}/`, blob: null };
        const file = /** @type {PartialFile} */ (this.#files.get(entry.id));
        const name = await renameToFreeName(file.part, path);
        folders.add(dirname(path));
        this.reusedBytes += entry.size - file.receivedBytes;
        return { name, blob: null };
      });
      for (const folder of folders) await flushFolder(folder);
      return saved;
    });
  }

  /** Keeps the `.part` files in any case: the next download continues from them. */
  async abort() {
    for (const { handle } of this.#files.values()) await handle.close().catch(() => {});
  }

  /**
   * Creates the folders of a file, or an empty folder, one by one and follows no symbolic link but the root itself.
   *
   * @param {FileEntry} entry
   */
  async #createFolders({ path, isFolder }) {
    await mkdir(this.#root, { recursive: true });
    let folder = this.#root;
    for (const name of isFolder ? path : path.slice(0, -1)) {
      folder = join(folder, name);
      await makeFolder(folder);
      const status = await lstat(folder);
      if (status.isSymbolicLink()) throw symbolicLinkError(folder);
      if (!status.isDirectory()) throw new Error(`${folder} is not a folder`);
    }
  }

  /**
   * Takes what an ended process has left of a file.
   *
   * @param {string} stem the name of the incomplete file without the process
   * @returns {Promise<string>} its name for this process, whether it exists or not
   */
  async #takePart(stem) {
    const folder = dirname(stem);
    const own = `${stem}-${process.pid}.part`;
    const prefix = `${basename(stem)}-`;
    for (const name of await this.#partsIn(folder)) {
      const owner = name.startsWith(prefix) ? /-(\d+)\.part$/.exec(name)?.[1] : undefined;
      if (owner === undefined || isRunning(Number(owner))) continue;
      // It fails if another command was faster.
      if (await rename(join(folder, name), own).then(() => true, () => false)) break;
    }
    return own;
  }

  /** @param {string} folder @returns {Promise<string[]>} the incomplete files that were there when it was first used */
  #partsIn(folder) {
    const parts = this.#parts.get(folder) ?? listParts(folder);
    this.#parts.set(folder, parts);
    return parts;
  }

  /** @param {FileEntry} entry @returns {Promise<string>} the path of its incomplete file, without the process */
  async #stemOf(entry) {
    return `${this.#pathOf(entry)}.${await tagOf(this.#scope, entry)}`;
  }

  /** @param {FileEntry} entry with a sanitized path */
  #pathOf({ path }) {
    return join(this.#root, ...path);
  }

  /**
   * @template T
   * @param {() => Promise<T>} work on the disk
   * @returns {Promise<T>}
   * @throws {TransferError} `storage`
   */
  async #access(work) {
    try {
      return await work();
    } catch (error) {
      const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
      const problem = code === "ENOSPC" || code === "EDQUOT" ? "The disk is full" : `Cannot write (${message})`;
      const remedy = "Received data is kept: free some space or choose another folder with --out, and run the same command again.";
      throw new TransferError("storage", `${problem}: ${this.#root}. ${remedy}`, { cause: error });
    }
  }
}

/** @param {string} folder that may not exist yet */
async function listParts(folder) {
  return (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".part"));
}

/**
 * @param {number} pid
 * @returns {boolean} whether it is another process than this one, and runs
 */
function isRunning(pid) {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // A process of another user may not be signalled.
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/** @param {string} path created if nothing has the name */
async function makeFolder(path) {
  try {
    await mkdir(path);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
  }
}

/** @param {string} path */
function symbolicLinkError(path) {
  return new Error(`${path} is a symbolic link, which may lead elsewhere`);
}

/**
 * @param {string} path
 * @returns {Promise<import("node:fs/promises").FileHandle>} of a new or an existing regular file
 */
async function openFile(path) {
  // Windows has no such flags; the comparison below covers it.
  const { O_RDWR, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
  const handle = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK).catch((error) => {
    throw error.code === "ELOOP" ? symbolicLinkError(path) : error;
  });
  const [opened, named] = [await handle.stat(), await lstat(path)];
  if (opened.isFile() && opened.ino === named.ino && opened.dev === named.dev) return handle;
  await handle.close();
  throw named.isSymbolicLink() ? symbolicLinkError(path) : new Error(`${path} is not a regular file`);
}

/**
 * @param {string} scope
 * @param {FileEntry} entry
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
    if (bytesRead === 0) break; // the file was truncated: the hash of the missing bytes will differ
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
async function flushFile(handle, size) {
  await handle.truncate(size);
  await handle.sync();
  await handle.close();
}

/**
 * @param {string} part
 * @param {string} path the preferred name
 * @returns {Promise<string>} the first of `name`, `name (2)`… that does not exist yet
 */
async function renameToFreeName(part, path) {
  const { dir, name, ext } = parse(path);
  let free = path;
  for (let n = 2; !(await tryRename(part, free)); n++) free = join(dir, `${name} (${n})${ext}`);
  return free;
}

/**
 * @param {string} part
 * @param {string} path
 * @returns {Promise<boolean>} false when the path exists already
 */
async function tryRename(part, path) {
  try {
    // Unlike `rename`, `link` fails when the path exists.
    await link(part, path);
    await unlink(part);
    return true;
  } catch (error) {
    const code = String(/** @type {NodeJS.ErrnoException} */ (error).code);
    if (code === "EEXIST") return false;
    if (!NO_HARD_LINKS.includes(code)) throw error;
  }
  try {
    await (await open(path, "wx")).close(); // the empty file keeps the name until it is replaced
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
  await rename(part, path);
  return true;
}

/** @param {string} path whose new names have to survive a power failure, where the system supports that */
async function flushFolder(path) {
  const handle = await open(path).catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
