/**
 * Names of files as strangers send them, made harmless for a screen and for a disk.
 * Nothing here looks at what is in a file.
 */

const LIMIT_BYTES = 200;
const DEPTH = 32;
/** Control, formatting (bidirectional overrides, zero widths), lone surrogates, line breaks. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
/** Separators, and what Windows forbids in a name. */
const FORBIDDEN = /[/\\:*?"<>|]/g;
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?=\.|$)/i;
const EXTENSION = /\.[^.\s]{1,16}$/;
const encoder = new TextEncoder();

/**
 * @param {unknown} name as it came from the other side
 * @returns {string} at most 200 bytes of UTF-8, never empty, one path segment, not hidden,
 *   saying what it shows
 */
export function safeName(name) {
  const text = typeof name === "string" ? name.slice(0, 4_096) : "";
  const clean = text.normalize("NFC").replace(INVISIBLE, "").replace(FORBIDDEN, "_");
  const bare = trim(clean).replace(RESERVED, "_$1");
  return trim(shorten(bare)) || "file";
}

/**
 * Paths of many files, each harmless by itself and no two the same, also where a disk
 * does not tell upper from lower case. The same list gives the same paths, always.
 *
 * @param {unknown[]} paths as they came from the other side
 * @returns {string[][]}
 */
export function safePaths(paths) {
  /** @type {Map<string, number>} what is taken, and the number to try next */
  const taken = new Map();
  /** @type {Set<string>} folders, which no file may be named like */
  const folders = new Set();
  const safe = paths.map((path) => {
    const names = Array.isArray(path) && path.length > 0 ? path.slice(-DEPTH) : [path];
    return names.map(safeName);
  });
  for (const path of safe) for (let depth = 1; depth < path.length; depth++) folders.add(key(path.slice(0, depth)));
  return safe.map((path) => {
    const folder = path.slice(0, -1);
    const name = path[path.length - 1];
    let unique = path;
    let n = taken.get(key(path)) ?? 2;
    for (; taken.has(key(unique)) || folders.has(key(unique)); n++) unique = [...folder, numbered(name, n)];
    taken.set(key(unique), 2);
    taken.set(key(path), n); // so that thousands of equal names do not count from 2 each
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
 * Leading dots hide a file, trailing dots and spaces vanish on Windows.
 *
 * @param {string} name
 */
function trim(name) {
  return name.replace(/^[\s.]+|[\s.]+$/gu, "");
}

/**
 * Shortens before the extension, which tells people what the file is.
 *
 * @param {string} name
 */
function shorten(name) {
  if (encoder.encode(name).length <= LIMIT_BYTES) return name;
  const extension = EXTENSION.exec(name)?.[0] ?? "";
  let room = LIMIT_BYTES - encoder.encode(extension).length;
  let stem = "";
  for (const char of name.slice(0, name.length - extension.length)) {
    room -= encoder.encode(char).length;
    if (room < 0) break;
    stem += char;
  }
  return stem + extension;
}
