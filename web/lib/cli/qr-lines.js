/** A QR code as lines of a terminal: two modules a character, black on white whatever the colours of the terminal. */

import { encodeQr } from "../util/qr-code.js";

/** The light border, in modules. Without it, cameras do not find the code. */
const QUIET_ZONE = 2;
const BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m";
const RESET = "\x1b[0m";

/**
 * @param {string} text
 * @param {number} columns of the terminal
 * @returns {string[]} empty if the code does not fit
 */
export function qrLines(text, columns) {
  let code;
  try {
    code = encodeQr(text);
  } catch {
    return []; // the text is too long
  }
  const size = code.length + 2 * QUIET_ZONE;
  if (size > columns) return [];
  const isDark = (/** @type {number} */ x, /** @type {number} */ y) => code[y - QUIET_ZONE]?.[x - QUIET_ZONE] ?? false;
  return Array.from({ length: Math.ceil(size / 2) }, (_, row) => {
    const line = Array.from({ length: size }, (_, x) => " ▀▄█"[Number(isDark(x, 2 * row)) + 2 * Number(isDark(x, 2 * row + 1))]);
    return `${BLACK_ON_WHITE}${line.join("")}${RESET}`;
  });
}
