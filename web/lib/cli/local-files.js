/** Files and folders on disk as the sources of a share. They are read piece by piece. */

import { lstat, open, readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { emptyFolder } from "../share/file-entry.js";
import { CliError, USAGE_ERROR } from "./messages.js";

/** @typedef {import("../share/file-entry.js").FileSource} FileSource */
/** @typedef {{file: FileSource, path: string[]}} LocalFile */
/** @typedef {{path: string, cause: string}} LeftOut an entry that cannot be shared; the others are */
/** @typedef {{files: LocalFile[], leftOut: LeftOut[]}} LocalFiles */

const NOT_UTF8 = "its name is not UTF-8";
/** Takes the place of bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

/** @type {Record<string, string>} by the error's code */
const CAUSES = {
  EACCES: "you have no permission to read it",
  EPERM: "you have no permission to read it",
  ENOENT: "it was deleted or renamed meanwhile",
  ENAMETOOLONG: "its path is too long",
  ELOOP: "its symbolic links lead in a circle",
  EIO: "its disk has an error",
};

/**
 * @param {string[]} paths as given on the command line
 * @returns {Promise<LocalFiles>}
 * @throws {CliError} a path does not exist
 */
export async function findFiles(paths) {
  /** @type {LocalFiles} */
  const found = { files: [], leftOut: [] };
  for (const path of paths) {
    const location = resolve(path);
    const error = await stat(location).then(() => null, (error) => error);
    const isMissing = error?.code === "ENOENT" || error?.code === "ENOTDIR";
    // Node.js replaces bytes of an argument that are not UTF-8, so the path does not exist.
    if (isMissing && path.includes(REPLACEMENT)) found.leftOut.push({ path, cause: NOT_UTF8 });
    else if (isMissing) throw new CliError(`Cannot share ${path}: no such file or folder.`, USAGE_ERROR);
    // Here, a symbolic link is followed: the user has named it.
    else await collect(location, [basename(location)], found, stat);
  }
  return found;
}

/**
 * @param {string} location
 * @param {string[]} path
 * @param {LocalFiles} found
 * @param {typeof stat} [statusOf] does not follow a link in a folder: it may lead anywhere, also in a circle
 */
async function collect(location, path, found, statusOf = lstat) {
  try {
    const status = await statusOf(location);
    if (status.isDirectory()) return await collectFolder(location, path, found);
    if (!status.isFile()) {
      return void found.leftOut.push({ path: location, cause: status.isSymbolicLink() ? "a symbolic link" : "neither a file nor a folder" });
    }
    await (await open(location)).close(); // permissions alone do not tell whether it can be read
    found.files.push({ file: sourceOf(location, status), path });
  } catch (error) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
    found.leftOut.push({ path: location, cause: CAUSES[code ?? ""] ?? message });
  }
}

/**
 * @param {string} location
 * @param {string[]} path
 * @param {LocalFiles} found
 */
async function collectFolder(location, path, found) {
  const names = await readdir(location, { encoding: "buffer" });
  if (names.length === 0) found.files.push({ file: emptyFolder(path[path.length - 1]), path });
  for (const bytes of names.sort(Buffer.compare)) {
    const name = bytes.toString();
    const child = join(location, name);
    if (bytes.equals(Buffer.from(name))) await collect(child, [...path, name], found);
    else found.leftOut.push({ path: child, cause: NOT_UTF8 });
  }
}

/**
 * @param {string} location
 * @param {import("node:fs").Stats} status when the file was shared
 * @returns {FileSource}
 */
function sourceOf(location, { size, mtimeMs }) {
  const slice = (start = 0, end = size) => /** @type {Blob} */ ({ arrayBuffer: () => read(location, mtimeMs, start, end) });
  return { name: basename(location), size, slice };
}

/**
 * @param {string} location
 * @param {number} mtimeMs
 * @param {number} start
 * @param {number} end
 * @returns {Promise<ArrayBuffer>}
 */
async function read(location, mtimeMs, start, end) {
  const handle = await open(location);
  try {
    if ((await handle.stat()).mtimeMs !== mtimeMs) throw new Error("file was modified after it was shared");
    return await readRange(handle, start, end);
  } finally {
    await handle.close();
  }
}

/**
 * @param {import("node:fs/promises").FileHandle} handle
 * @param {number} start
 * @param {number} end
 * @returns {Promise<ArrayBuffer>} shorter if the file ends before
 */
export async function readRange(handle, start, end) {
  const bytes = new Uint8Array(end - start);
  let done = 0;
  for (let count = -1; count !== 0 && done < bytes.length; done += count) {
    ({ bytesRead: count } = await handle.read(bytes, done, bytes.length - done, start + done));
  }
  return bytes.buffer.slice(0, done);
}
