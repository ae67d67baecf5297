/** Makes the paths of a list safe and unique. The time grows with the characters of the list and no faster. */

import { MAX_DEPTH } from "./protocol.js";
import { numberedName, sanitizeFilename } from "./sanitize-filename.js";

/**
 * @typedef {object} Folder
 * @property {Map<string, Folder>} folders by folded name
 * @property {Map<string, number>} files the folded names in use, with the next number to try
 */

/**
 * Sanitizes the paths of many files and makes them unique, also on disks that ignore upper and lower
 * case. The same list always gives the same paths.
 *
 * @param {unknown[]} paths as received
 * @returns {string[][]}
 */
export function sanitizePaths(paths) {
  const root = createFolder();
  const safe = paths.map((path) => {
    const names = Array.isArray(path) && path.length > 0 ? path.slice(-MAX_DEPTH) : [path];
    return names.map(sanitizeFilename);
  });
  // All folders first: no file may have the name of one.
  const folders = safe.map((path) => path.slice(0, -1).reduce(enter, root));
  return safe.map((path, index) => [...path.slice(0, -1), claimName(folders[index], path[path.length - 1])]);
}

/** @returns {Folder} */
function createFolder() {
  return { folders: new Map(), files: new Map() };
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
  return name.toUpperCase().toLowerCase().normalize("NFC");
}
