/**
 * A folder that the person picked, as a target: folders in it are kept, and nothing that
 * is there already is overwritten. For browsers with File System Access.
 */

import { TransferError } from "../../util/errors.js";

/** @typedef {import("../catalogue.js").Entry} Entry */
/** @typedef {import("./target.js").Target} Target */

/** @implements {Target} */
export class FolderTarget {
  whole = false;
  #root;
  /** @type {Map<string, {folder: FileSystemDirectoryHandle, name: string, stream: FileSystemWritableFileStream}>} */
  #files = new Map();

  /** @param {FileSystemDirectoryHandle} root that may be written to */
  constructor(root) {
    this.#root = root;
  }

  /** @param {Entry} entry */
  async open({ id, path }) {
    const { folder, name, stream } = await writing(() => this.#create(path));
    this.#files.set(id, { folder, name, stream });
    return {
      stored: 0,
      read: async () => new Uint8Array(0),
      write: async (/** @type {number} */ at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
        await writing(() => stream.write({ type: "write", position: at, data: bytes }));
        return bytes;
      },
      close: () => writing(() => stream.close()),
    };
  }

  /** @param {Entry} entry */
  async drop({ id }) {
    const file = this.#files.get(id);
    if (!file) return;
    // Closed or not, what is there is not what was promised.
    await file.stream.abort().catch(() => {});
    await file.folder.removeEntry(file.name).catch(() => {});
  }

  /** @param {Entry[]} entries */
  async finish(entries) {
    return entries.map(({ path }) => ({ name: path.join("/"), blob: null }));
  }

  async abort() {
    for (const id of this.#files.keys()) await this.drop(/** @type {Entry} */ ({ id }));
  }

  /** @param {string[]} path */
  async #create(path) {
    let folder = this.#root;
    for (const name of path.slice(0, -1)) folder = await folder.getDirectoryHandle(name, { create: true });
    const name = await freeName(folder, path[path.length - 1]);
    const handle = await folder.getFileHandle(name, { create: true });
    return { folder, name, stream: await handle.createWritable() };
  }
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 */
async function freeName(folder, name) {
  const taken = new Set();
  for await (const other of folder.keys()) taken.add(other.toLowerCase());
  const [, stem, extension] = /** @type {RegExpExecArray} */ (/^(.*?)(\.[^.]*)?$/s.exec(name));
  let free = name;
  for (let n = 2; taken.has(free.toLowerCase()); n++) free = `${stem} (${n})${extension ?? ""}`;
  return free;
}

/**
 * @template T
 * @param {() => Promise<T>} work in a place that the person picked
 * @returns {Promise<T>}
 * @throws {TransferError} `place`
 */
export async function writing(work) {
  try {
    return await work();
  } catch (cause) {
    throw new TransferError("place", "place that was picked cannot be written to", { cause });
  }
}
