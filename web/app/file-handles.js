/**
 * Files that a browser gives back after a reload: handles of what was dropped or picked,
 * where the browser has such (Chromium), and what they lead to. Where they are kept is
 * keepsake.js's.
 */

/** @typedef {import("./file-input.js").Offer} Offer */
/** @typedef {FileSystemHandle & {queryPermission(): Promise<PermissionState>, requestPermission(): Promise<PermissionState>}} Handle */

/**
 * @param {Handle[]} handles
 * @param {boolean} mayAsk the person, who must just have pressed something
 * @returns {Promise<Handle[]>} those that may be read
 */
export async function permitted(handles, mayAsk) {
  const found = [];
  for (const handle of handles) {
    // One after the other: browsers show one question at a time.
    const state = await (mayAsk ? handle.requestPermission() : handle.queryPermission()).catch(() => "denied");
    if (state === "granted") found.push(handle);
  }
  return found;
}

/**
 * @param {Handle[]} handles
 * @param {string[]} names of what was on offer; nothing else in a folder is
 * @returns {Promise<Offer[]>} what is still there
 */
export async function offersOf(handles, names) {
  const wanted = new Set(names);
  const found = [];
  for (const handle of handles) found.push(...(await walk(handle, []).catch(() => []))); // it is gone
  return found.filter(({ path }) => wanted.has(path.join("/")));
}

/**
 * @param {FileSystemHandle} handle
 * @param {string[]} folder
 * @returns {Promise<Offer[]>}
 */
async function walk(handle, folder) {
  const path = [...folder, handle.name];
  if (handle.kind === "file") return [{ file: await /** @type {FileSystemFileHandle} */ (handle).getFile(), path }];
  const found = [];
  const entries = /** @type {any} */ (handle).values();
  for await (const inner of entries) found.push(...(await walk(inner, path).catch(() => [])));
  return found;
}
