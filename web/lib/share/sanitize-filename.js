/**
 * Makes a file name of a stranger safe to show and to store on every system. All names that arrive go
 * through this file, for the app, the library and the command alike; sanitize-paths.js applies it to lists.
 */

import { utf8 } from "../util/bytes.js";
import { removeInvisible } from "./invisible.js";

const MAX_BYTES = 200;
/** Of a longer name, the first and the last characters are kept. Bounds the time that a name takes. */
const KEPT_CHARS = 128;
/** Separators, and other characters that Windows forbids; `a:b` would be a stream of the file `a`. */
const FORBIDDEN = /[/\\:*?"<>|]/g;
/** The devices of Windows, which ignores what follows the first dot, and spaces before it. */
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$)\s*(\.|$)/i;
/** Leading dots hide a file; Windows drops trailing dots and spaces. */
const EDGE = /[\s.]/;
/** Most names, for which the other checks but that of devices are not needed: a list may have 300,000. */
const PLAIN = /^[\w-]([\w .()-]{0,100}[\w()-])?$/;
const EXTENSION = /\.[^.\s]{1,16}$/;

/**
 * @param {unknown} name as received
 * @returns {string} one visible path segment of 1 to 200 bytes in UTF-8, without invisible characters
 *   that no letter or emoji needs
 */
export function sanitizeFilename(name) {
  if (typeof name === "string" && PLAIN.test(name) && !RESERVED.test(name)) return name;
  const text = typeof name === "string" ? cut(name) : "";
  const clean = trim(removeInvisible(text).normalize("NFC").replace(FORBIDDEN, "_"));
  // Where a name is shortened, an emoji may lose the part that its joiner needed.
  const short = trim(removeInvisible(shorten(clean, MAX_BYTES)));
  const harmless = RESERVED.test(short) ? trim(`_${shorten(short, MAX_BYTES - 1)}`) : short;
  return harmless || "file";
}

/**
 * @param {string} name
 * @param {number} n
 * @returns {string} the name with a number, for a file whose own name is taken
 */
export function numberedName(name, n) {
  const { stem, extension } = splitExtension(name);
  return `${stem} (${n})${extension}`;
}

/**
 * @param {string} name
 * @returns {{stem: string, extension: string}}
 */
function splitExtension(name) {
  const extension = EXTENSION.exec(name)?.[0] ?? "";
  return { stem: name.slice(0, name.length - extension.length), extension };
}

/** @param {string} name */
function cut(name) {
  return name.length <= 2 * KEPT_CHARS ? name : name.slice(0, KEPT_CHARS) + name.slice(-KEPT_CHARS);
}

/** @param {string} name */
function trim(name) {
  let start = 0;
  let end = name.length;
  while (start < end && EDGE.test(name[start])) start += 1;
  while (end > start && EDGE.test(name[end - 1])) end -= 1;
  return name.slice(start, end);
}

/**
 * Keeps the extension, which shows the type of the file.
 *
 * @param {string} name
 * @param {number} maxBytes
 */
function shorten(name, maxBytes) {
  if (utf8(name).length <= maxBytes) return name;
  const { stem, extension } = splitExtension(name);
  let room = maxBytes - utf8(extension).length;
  let kept = "";
  for (const char of stem) {
    room -= utf8(char).length;
    if (room < 0) break;
    kept += char;
  }
  return kept + extension;
}
