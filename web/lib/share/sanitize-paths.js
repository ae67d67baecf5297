/** Makes the paths of a list safe and unique. The time grows with the characters of the list and no faster. */

import { removeAllInvisible } from "./invisible.js";
import { MAX_DEPTH } from "./protocol.js";
import { numberedName, sanitizeFilename } from "./sanitize-filename.js";

/**
 * @typedef {object} Folder
 * @property {Map<string, Folder>} folders by folded name
 * @property {Map<string, string>} named the names of the folders, by the names that were received
 * @property {Set<string>} taken those names, as far as they can be seen
 * @property {Map<string, number>} numbers of the folders whose own name is taken: the next one to try
 * @property {Map<string, number>} files the folded names in use, with the next number to try
 */

/**
 * Sanitizes the paths of many files and makes them unique, also on disks that ignore upper and lower
 * case, and where names differ only in what was removed or cannot be seen. The same list always gives the
 * same paths.
 *
 * @param {unknown[]} paths as received
 * @param {(index: number) => boolean} [isFolder] whether a path is that of a folder (default: none is)
 * @returns {string[][]}
 */
export function sanitizePaths(paths, isFolder = () => false) {
  const root = createFolder();
  const received = paths.map((path) => (Array.isArray(path) && path.length > 0 ? path.slice(-MAX_DEPTH) : [path]));
  // All folders first: no file may have the name of one.
  const places = received.map((path, index) => {
    const names = [];
    let folder = root;
    for (const name of isFolder(index) ? path : path.slice(0, -1)) {
      const safe = nameFolder(folder, name);
      names.push(safe);
      folder = enter(folder, safe);
    }
    return { names, folder };
  });
  return received.map((path, index) => {
    const { names, folder } = places[index];
    if (isFolder(index)) return names;
    return [...names, claimName(folder, sanitizeFilename(path[path.length - 1]))];
  });
}

/** @returns {Folder} */
function createFolder() {
  return { folders: new Map(), named: new Map(), taken: new Set(), numbers: new Map(), files: new Map() };
}

/**
 * Folders whose names differ in case are one folder on some disks, and stay as they are. Those whose
 * received names have become the same one are told apart by a number.
 *
 * @param {Folder} parent
 * @param {unknown} name as received
 * @returns {string} the safe name of the folder
 */
function nameFolder({ named, taken, numbers }, name) {
  const key = typeof name === "string" ? name : "";
  const known = named.get(key);
  if (known !== undefined) return known;
  const safe = sanitizeFilename(name);
  const visible = removeAllInvisible(safe);
  let unique = safe;
  let n = numbers.get(visible) ?? 2;
  for (; taken.has(removeAllInvisible(unique)); n++) unique = numberedName(safe, n);
  numbers.set(visible, n);
  taken.add(removeAllInvisible(unique));
  named.set(key, unique);
  return unique;
}

/**
 * @param {Folder} folder
 * @param {string} name of a folder in it
 */
function enter({ folders }, name) {
  const key = fold(name);
  const known = folders.get(key);
  if (known) return known;
  const created = createFolder();
  folders.set(key, created);
  return created;
}

/**
 * @param {Folder} folder
 * @param {string} name of a new file in it
 * @returns {string} the first of `name`, `name (2)`… that is not in use
 */
function claimName({ folders, files }, name) {
  const first = fold(name);
  // Thousands of equal names do not each count from 2.
  let n = files.get(first) ?? 2;
  let unique = name;
  let key = first;
  for (; files.has(key) || folders.has(key); n++) {
    unique = numberedName(name, n);
    key = fold(unique);
  }
  files.set(key, 2);
  files.set(first, n);
  return unique;
}

/**
 * @param {string} name
 * @returns {string} the same for all names that some disk takes for one
 */
function fold(name) {
  return removeAllInvisible(name).toUpperCase().toLowerCase().normalize("NFC");
}
