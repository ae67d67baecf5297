/**
 * Names of files as strangers send them, made harmless for a screen and for a disk.
 * Nothing here looks at what is in a file.
 */

const LIMIT_BYTES = 200;
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
