/**
 * What the command writes: results on standard output, everything about them on standard
 * error, and on a terminal one line of progress that is written over. Nothing that came from a
 * stranger reaches the terminal as more than text.
 */

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
/** How often the line of progress changes at most (ms). */
const PACE = 100;
const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"];

let isLineOpen = false;
let shownAt = -Infinity;

/** @param {string} result one line of it */
export function print(result) {
  endProgress();
  process.stdout.write(`${clean(result)}\n`);
}

/** @param {string} text lines for people */
export function say(text) {
  endProgress();
  process.stderr.write(`${text.split("\n").map(clean).join("\n")}\n`);
}

/** @param {() => string} line asked for when it is time to show it; never where nobody watches */
export function showProgress(line) {
  const { isTTY, columns } = process.stderr;
  const now = performance.now();
  if (!isTTY || now - shownAt < PACE) return;
  shownAt = now;
  isLineOpen = true;
  process.stderr.write(`\r${clean(line()).slice(0, (columns || 80) - 1)}\x1b[K`);
}

/** Takes the line of progress away. */
export function endProgress() {
  if (isLineOpen) process.stderr.write("\r\x1b[K");
  isLineOpen = false;
  shownAt = -Infinity;
}

/**
 * @param {number} bytes
 * @returns {string} for example `20.5 MB`, in powers of 1000
 */
export function sizeText(bytes) {
  const power = bytes < 1_000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1_000 ** power;
  return `${power === 0 ? bytes : value.toFixed(value < 100 ? 1 : 0)} ${UNITS[power]}`;
}

/**
 * @param {number} seconds
 * @returns {string} for example `2:05`
 */
export function timeText(seconds) {
  const whole = Math.ceil(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/**
 * @param {number} part
 * @param {number} whole
 * @returns {string} rounded down: 100 % is all of it
 */
export function percentText(part, whole) {
  return `${whole === 0 ? 100 : Math.floor((100 * part) / whole)} %`;
}

/**
 * @param {number} count
 * @param {number} bytes
 */
export function filesText(count, bytes) {
  return `${count} ${count === 1 ? "file" : "files"}, ${sizeText(bytes)}`;
}

/** @param {string} text */
function clean(text) {
  return text.replace(UNSAFE, "");
}
