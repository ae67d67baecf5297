/** Files and folders on disk as the sources of a share. They are read piece by piece. */

import { lstat, open, readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { CliError, USAGE_ERROR } from "./messages.js";

/** @typedef {import("../share/file-entry.js").FileSource} FileSource */
/** @typedef {{file: FileSource, path: string[]}} LocalFile */
/** @typedef {{files: LocalFile[], skipped: string[]}} LocalFiles skipped: neither files nor folders, such as symbolic links */

/**
 * @param {string[]} paths as given on the command line
 * @returns {Promise<LocalFiles>}
 * @throws {CliError} a path does not exist, or there is no file
 */
export async function findFiles(paths) {
  /** @type {LocalFiles} */
  const found = { files: [], skipped: [] };
  for (const path of paths) {
    const status = await stat(path).catch((error) => {
      throw new CliError(`Cannot share ${path}: ${error.code === "ENOENT" ? "no such file or folder" : error.message}.`, USAGE_ERROR);
    });
    await collect(resolve(path), [basename(resolve(path))], status, found);
  }
  if (found.files.length === 0) throw new CliError("There are no files in the given paths.", USAGE_ERROR);
  return found;
}

/**
 * @param {string} location
 * @param {string[]} path
 * @param {import("node:fs").Stats} status
 * @param {LocalFiles} found
 */
async function collect(location, path, status, found) {
  if (status.isFile()) return void found.files.push({ file: sourceOf(location, status), path });
  // A symbolic link in a folder may lead anywhere, also in a circle.
  if (!status.isDirectory()) return void found.skipped.push(location);
  for (const name of (await readdir(location)).sort()) {
    const child = join(location, name);
    await collect(child, [...path, name], await lstat(child), found);
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
    const bytes = new Uint8Array(end - start);
    let done = 0;
    for (let count = -1; count !== 0 && done < bytes.length; done += count) {
      ({ bytesRead: count } = await handle.read(bytes, done, bytes.length - done, start + done));
    }
    return bytes.buffer.slice(0, done);
  } finally {
    await handle.close();
  }
}
