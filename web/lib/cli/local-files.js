/** Files and folders of the disk as a share offers them: read piece by piece, never held. */

import { lstat, open, readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { Complaint, MISUSED } from "./messages.js";

/** @typedef {{file: import("../share/catalogue.js").Source, path: string[]}} Offer */

/**
 * @param {string[]} paths as they were typed
 * @returns {Promise<{offers: Offer[], skipped: string[]}>} skipped: in a folder, and neither file nor folder
 * @throws {Complaint} what was typed is not there
 */
export async function offersOf(paths) {
  /** @type {{offers: Offer[], skipped: string[]}} */
  const found = { offers: [], skipped: [] };
  for (const typed of paths) {
    const status = await stat(typed).catch((error) => {
      throw new Complaint(`${typed} cannot be shared: ${error.code === "ENOENT" ? "there is no such file or folder" : error.message}.`, MISUSED);
    });
    await gather(resolve(typed), [basename(resolve(typed))], status, found);
  }
  if (found.offers.length === 0) throw new Complaint("There is no file in what was given.", MISUSED);
  return found;
}

/**
 * @param {string} place
 * @param {string[]} path
 * @param {import("node:fs").Stats} status
 * @param {{offers: Offer[], skipped: string[]}} found
 */
async function gather(place, path, status, found) {
  if (status.isFile()) return void found.offers.push({ file: sourceOf(place, status), path });
  // A symbolic link in a folder may lead anywhere, also in a circle.
  if (!status.isDirectory()) return void found.skipped.push(place);
  for (const name of (await readdir(place)).sort()) {
    const below = join(place, name);
    await gather(below, [...path, name], await lstat(below), found);
  }
}

/**
 * @param {string} place
 * @param {import("node:fs").Stats} status when it was offered
 * @returns {import("../share/catalogue.js").Source}
 */
function sourceOf(place, { size, mtimeMs }) {
  const slice = (start = 0, end = size) => /** @type {Blob} */ ({ arrayBuffer: () => read(place, mtimeMs, start, end) });
  return { name: basename(place), size, slice };
}

/**
 * @param {string} place
 * @param {number} mtimeMs
 * @param {number} start
 * @param {number} end
 * @returns {Promise<ArrayBuffer>}
 */
async function read(place, mtimeMs, start, end) {
  const handle = await open(place);
  try {
    if ((await handle.stat()).mtimeMs !== mtimeMs) throw new Error("file was written to after it was offered");
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
