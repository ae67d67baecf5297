/**
 * Output of the command: results on standard output, status messages on standard error, and on a
 * terminal one progress line that is overwritten. Control characters of strangers are removed.
 */

import { PROGRAM_NAMES, SYSTEM_NAMES } from "../share/device.js";
import { countFiles, totalSize } from "../share/file-entry.js";
import { removeInvisible } from "../share/invisible.js";
import { FAILED, PIPE_CLOSED } from "./messages.js";
import { qrLines } from "./qr-lines.js";

/** The progress line is updated at most this often (ms). */
const PROGRESS_INTERVAL = 100;
const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"];

let hasProgressLine = false;
let shownAt = -Infinity;

/**
 * Ends the command when nobody reads its output any more: quietly, if the other end of a pipe was closed,
 * as `head` does.
 */
export function endWithOutput() {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (/** @type {NodeJS.ErrnoException} */ { code, message }) => {
      if (code === "EPIPE" || code === "ECONNRESET") process.exit(PIPE_CLOSED);
      if (stream === process.stdout) printStatus(`Cannot write to standard output (${message}).`);
      process.exit(FAILED);
    });
  }
}

/** @param {string} line */
export function printResult(line) {
  clearProgress();
  process.stdout.write(`${clean(line)}\n`);
}

/** @param {string} text one or more lines */
export function printStatus(text) {
  clearProgress();
  process.stderr.write(`${text.split("\n").map(clean).join("\n")}\n`);
}

/** @param {string} text shown as a QR code, if status messages go to a terminal that has room for it */
export function printQrCode(text) {
  const { isTTY, columns } = process.stderr;
  if (!isTTY || process.env.TERM === "dumb") return;
  clearProgress();
  process.stderr.write(qrLines(text, columns).map((line) => `${line}\n`).join(""));
}

/** @param {() => string} line called when the line is shown; never without a terminal */
export function showProgress(line) {
  const { isTTY, columns } = process.stderr;
  const now = performance.now();
  if (!isTTY || now - shownAt < PROGRESS_INTERVAL) return;
  shownAt = now;
  hasProgressLine = true;
  process.stderr.write(`\r${clean(line()).slice(0, (columns || 80) - 1)}\x1b[K`);
}

export function clearProgress() {
  if (hasProgressLine) process.stderr.write("\r\x1b[K");
  hasProgressLine = false;
  shownAt = -Infinity;
}

/**
 * @param {number} bytes
 * @returns {string} for example `20.5 MB`, in powers of 1000
 */
export function formatSize(bytes) {
  const power = bytes < 1_000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1_000 ** power;
  if (bytes === 1) return "1 byte";
  return `${power === 0 ? bytes : value.toFixed(value < 100 ? 1 : 0)} ${UNITS[power]}`;
}

/**
 * @param {number} seconds
 * @returns {string} for example `2:05`
 */
export function formatDuration(seconds) {
  const whole = Math.ceil(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

/**
 * @param {{speed: number, secondsLeft: number}} pace
 * @returns {string} for example `20.5 MB/s, 2:05 left`
 */
export function formatPace({ speed, secondsLeft }) {
  return `${formatSize(Math.round(speed))}/s${Number.isFinite(secondsLeft) ? `, ${formatDuration(secondsLeft)} left` : ""}`;
}

/**
 * @param {number} done
 * @param {number} total
 * @returns {string} rounded down, so that 100 % means all of it
 */
export function formatPercent(done, total) {
  return `${total === 0 ? 100 : Math.floor((100 * done) / total)} %`;
}

/**
 * @param {import("../share/file-entry.js").FileEntry[]} entries
 * @returns {string} for example `3 files, 20.5 MB`
 */
export function formatFiles(entries) {
  return `${formatCount(countFiles(entries), "file", "files")}, ${formatSize(totalSize(entries))}`;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 * @returns {string} for example `1 file`, `3 files`
 */
export function formatCount(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

/**
 * @param {import("../share/device.js").Device} device
 * @returns {string} for example `Chrome on Android`
 */
export function formatDevice({ program, system }) {
  return [program && PROGRAM_NAMES[program], system && SYSTEM_NAMES[system]].filter(Boolean).join(" on ");
}

/** @param {string} text */
function clean(text) {
  return removeInvisible(text);
}
