/** Makes file names of strangers safe to show and to store. */

import { utf8 } from "../util/bytes.js";
import { MAX_DEPTH } from "./protocol.js";

const MAX_BYTES = 200;
/** Control, formatting (bidirectional overrides, zero widths), lone surrogates, line breaks. */
export const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
/** Separators, and other characters that Windows forbids. */
const FORBIDDEN = /[/\\:*?"<>|]/g;
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?=\.|$)/i;
const EXTENSION = /\.[^.\s]{1,16}$/;

/**
 * @param {unknown} name as received
 * @returns {string} one visible path segment of 1 to 200 bytes in UTF-8, without invisible characters
 */
export function sanitizeFilename(name) {
  const text = typeof name === "string" ? name.slice(0, 4_096) : "";
  const clean = text.normalize("NFC").replace(INVISIBLE, "").replace(FORBIDDEN, "_");
  const bare = trim(clean).replace(RESERVED, "_$1");
  return trim(shorten(bare)) || "file";
}

/**
 * Sanitizes the paths of many files and makes them unique, also on disks that ignore upper and lower
 * case. The same list always gives the same paths.
 *
 * @param {unknown[]} paths as received
 * @returns {string[][]}
 */
export function sanitizePaths(paths) {
  /** @type {Map<string, number>} paths in use, with the next number to try */
  const taken = new Map();
  /** @type {Set<string>} folders, whose names no file may have */
  const folders = new Set();
  const safe = paths.map((path) => {
    const names = Array.isArray(path) && path.length > 0 ? path.slice(-MAX_DEPTH) : [path];
    return names.map(sanitizeFilename);
  });
  for (const path of safe) for (let depth = 1; depth < path.length; depth++) folders.add(key(path.slice(0, depth)));
  return safe.map((path) => {
    const folder = path.slice(0, -1);
    const name = path[path.length - 1];
    let unique = path;
    let n = taken.get(key(path)) ?? 2;
    for (; taken.has(key(unique)) || folders.has(key(unique)); n++) unique = [...folder, numbered(name, n)];
    taken.set(key(unique), 2);
    taken.set(key(path), n); // so that thousands of equal names do not each count from 2
    return unique;
  });
}

/** @param {string[]} path */
function key(path) {
  return path.join("/").toLowerCase();
}

/**
 * @param {string} name
 * @param {number} n
 */
function numbered(name, n) {
  const extension = EXTENSION.exec(name)?.[0] ?? "";
  return `${name.slice(0, name.length - extension.length)} (${n})${extension}`;
}

/**
 * Leading dots hide a file; Windows drops trailing dots and spaces.
 *
 * @param {string} name
 */
function trim(name) {
  return name.replace(/^[\s.]+|[\s.]+$/gu, "");
}

/**
 * Keeps the extension, which shows the type of the file.
 *
 * @param {string} name
 */
function shorten(name) {
  if (utf8(name).length <= MAX_BYTES) return name;
  const extension = EXTENSION.exec(name)?.[0] ?? "";
  let room = MAX_BYTES - utf8(extension).length;
  let stem = "";
  for (const char of name.slice(0, name.length - extension.length)) {
    room -= utf8(char).length;
    if (room < 0) break;
    stem += char;
  }
  return stem + extension;
}
