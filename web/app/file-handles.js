/**
 * Handles of dropped or picked files, which can be read again after a reload (in Chromium).
 * saved-share.js stores them.
 */

import { emptyFolder } from "../lib/share/file-entry.js";

/** @typedef {{file: import("../lib/share/file-entry.js").FileSource, path: string[]}} PickedFile */
/** @typedef {FileSystemHandle & {queryPermission(): Promise<PermissionState>, requestPermission(): Promise<PermissionState>}} Handle */

/**
 * @param {Handle[]} handles
 * @param {boolean} mayPrompt whether the browser may ask the user, who must just have pressed a button
 * @returns {Promise<Handle[]>} those with read permission
 */
export async function filterReadable(handles, mayPrompt) {
  const readable = [];
  for (const handle of handles) {
    // One after the other, because browsers show one prompt at a time.
    const state = await (mayPrompt ? handle.requestPermission() : handle.queryPermission()).catch(() => "denied");
    if (state === "granted") readable.push(handle);
  }
  return readable;
}

/**
 * @param {Handle[]} handles
 * @param {string[]} names of the shared files; the other files of a folder are ignored
 * @returns {Promise<PickedFile[]>} the files that still exist
 */
export async function filesOfHandles(handles, names) {
  const wanted = new Set(names);
  const files = [];
  for (const handle of handles) files.push(...(await walk(handle, []).catch(() => []))); // it was deleted
  return files.filter(({ path }) => wanted.has(path.join("/")));
}

/**
 * @param {FileSystemHandle} handle
 * @param {string[]} folder
 * @returns {Promise<PickedFile[]>}
 */
async function walk(handle, folder) {
  const path = [...folder, handle.name];
  if (handle.kind === "file") return [{ file: await /** @type {FileSystemFileHandle} */ (handle).getFile(), path }];
  const files = [];
  const children = /** @type {any} */ (handle).values();
  let isEmpty = true;
  for await (const child of children) {
    isEmpty = false;
    files.push(...(await walk(child, path).catch(() => [])));
  }
  return isEmpty ? [{ file: emptyFolder(handle.name), path }] : files;
}
