/**
 * The last frames of a connection, oldest first. It is bounded: old frames are dropped, and of a long text only the
 * beginning is kept.
 */

import { utf8 } from "../lib/util/bytes.js";

/** Frames that are kept. */
export const FRAME_LIMIT = 500;
/** Characters of a frame's text that are kept. */
export const TEXT_LIMIT = 4096;
/** Bytes of a binary frame that are shown. */
const BYTES_SHOWN = 64;

/**
 * @typedef {object} Frame
 * @property {number} number counts all frames, from 1
 * @property {Date} time
 * @property {"sent" | "received"} direction
 * @property {number} bytes
 * @property {string} text
 */

export class FrameLog {
  /** @type {Frame[]} */
  #frames = [];
  #count = 0;

  /**
   * @param {"sent" | "received"} direction
   * @param {string | ArrayBuffer} data
   */
  add(direction, data) {
    this.#count += 1;
    const bytes = typeof data === "string" ? utf8(data).length : data.byteLength;
    this.#frames.push({ number: this.#count, time: new Date(), direction, bytes, text: textOf(data) });
    if (this.#frames.length > FRAME_LIMIT) this.#frames.shift();
  }

  clear() {
    this.#frames = [];
  }

  /** @returns {readonly Frame[]} */
  get frames() {
    return this.#frames;
  }

  /** @returns {number} all frames so far, with those that were dropped */
  get count() {
    return this.#count;
  }
}

/**
 * @param {string | ArrayBuffer} data
 * @returns {string}
 */
function textOf(data) {
  if (typeof data === "string") {
    return data.length <= TEXT_LIMIT ? data : `${data.slice(0, TEXT_LIMIT)}… (the first ${TEXT_LIMIT} of ${data.length} characters)`;
  }
  const shown = Array.from(new Uint8Array(data, 0, Math.min(data.byteLength, BYTES_SHOWN)), (byte) => byte.toString(16).padStart(2, "0"));
  return `binary: ${shown.join(" ")}${data.byteLength > BYTES_SHOWN ? " …" : ""}`;
}

/** @param {Frame} frame */
export function timeOf({ time }) {
  const pad = (/** @type {number} */ value, length = 2) => String(value).padStart(length, "0");
  return `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}.${pad(time.getMilliseconds(), 3)}`;
}

/**
 * @param {readonly Frame[]} frames
 * @returns {string} a line for each
 */
export function asText(frames) {
  return frames.map((frame) => `${timeOf(frame)} ${frame.direction} ${frame.bytes} B ${frame.text}\n`).join("");
}
