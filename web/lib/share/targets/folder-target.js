/**
 * A folder that the user has picked, as a download target. It keeps the folders of the share and
 * overwrites nothing. For browsers with the File System Access API.
 */

import { mapLimited } from "../../util/map-limited.js";
import { numberedName } from "../sanitize-filename.js";
import { writeToPickedPlace, writerTo } from "./picked-place.js";

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../download-target.js").DownloadTarget} DownloadTarget */

/** How many small files are written at a time. */
const WRITES = 8;

/** @implements {DownloadTarget} */
export class FolderTarget {
  allOrNothing = false;
  #root;
  /** @type {Map<string, {folder: FileSystemDirectoryHandle, name: string, stream: FileSystemWritableFileStream}>} */
  #files = new Map();
  /** @type {Map<string, Promise<Set<string>>>} the names in each folder, which is listed once */
  #taken = new Map();

  /** @param {FileSystemDirectoryHandle} root with write permission */
  constructor(root) {
    this.#root = root;
  }

  /** @param {FileEntry} entry */
  async open({ id, path }) {
    const { folder, name, stream } = await writeToPickedPlace(() => this.#create(path));
    this.#files.set(id, { folder, name, stream });
    return {
      storedBytes: 0,
      read: async () => new Uint8Array(0),
      write: writerTo(stream),
      close: () => writeToPickedPlace(() => stream.close()),
    };
  }

  /** @param {import("../download-target.js").BatchFile[]} files */
  async writeBatch(files) {
    await mapLimited(files, WRITES, async ({ entry, bytes }) => {
      if (!bytes) return;
      if (entry.isFolder) return void (await writeToPickedPlace(() => this.#createFolders(entry.path)));
      const sink = await this.open(entry);
      await sink.write(0, bytes);
      await sink.close();
    });
  }

  /** @param {FileEntry} entry */
  async remove({ id }) {
    const file = this.#files.get(id);
    if (!file) return;
    // Whether it is closed or not, the file is not complete.
    await file.stream.abort().catch(() => {});
    await file.folder.removeEntry(file.name).catch(() => {});
  }

  /** @param {FileEntry[]} entries */
  async finish(entries) {
    return entries.map(({ path }) => ({ name: path.join("/"), blob: null }));
  }

  /** @param {{keep: boolean, complete: FileEntry[]}} options */
  async abort({ complete }) {
    const kept = new Set(complete.map(({ id }) => id));
    for (const id of this.#files.keys()) {
      if (!kept.has(id)) await this.remove(/** @type {FileEntry} */ ({ id }));
    }
  }

  /** @param {string[]} path */
  async #create(path) {
    const folder = await this.#createFolders(path.slice(0, -1));
    const name = await this.#claimName(folder, path);
    const handle = await folder.getFileHandle(name, { create: true });
    return { folder, name, stream: await handle.createWritable() };
  }

  /** @param {string[]} names of folders, each in the one before */
  async #createFolders(names) {
    let folder = this.#root;
    for (const name of names) folder = await folder.getDirectoryHandle(name, { create: true });
    return folder;
  }

  /**
   * @param {FileSystemDirectoryHandle} folder
   * @param {string[]} path of a file in it
   * @returns {Promise<string>} the first of `name`, `name (2)`… that does not exist in upper or lower case
   */
  async #claimName(folder, path) {
    const place = path.slice(0, -1).join("/");
    const listed = this.#taken.get(place) ?? namesIn(folder);
    this.#taken.set(place, listed);
    const taken = await listed;
    const name = path[path.length - 1];
    for (let n = 1, free = name; ; free = numberedName(name, (n += 1))) {
      if (taken.has(free.toLowerCase())) continue;
      taken.add(free.toLowerCase()); // before the next file of a batch asks
      // What has appeared since the folder was listed exists too.
      if (!(await exists(folder, free))) return free;
    }
  }
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @returns {Promise<Set<string>>} the names in it, in lower case
 */
async function namesIn(folder) {
  const names = new Set();
  for await (const name of folder.keys()) names.add(name.toLowerCase());
  return names;
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 */
async function exists(folder, name) {
  try {
    await folder.getFileHandle(name);
    return true;
  } catch (error) {
    const reason = /** @type {Error} */ (error).name;
    if (reason === "NotFoundError") return false;
    if (reason === "TypeMismatchError") return true; // a folder has the name
    throw error;
  }
}
