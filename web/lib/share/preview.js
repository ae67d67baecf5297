/**
 * Small pictures of images, so that people see what they are about to take. The sharer draws
 * them anew from the pixels, as JPEG whatever the file was: nothing of the file itself
 * travels, its metadata least of all, and a receiver has one harmless format to take from a
 * stranger. SVG is none of these images: it is a document. The talk about them is sender.js's.
 */

import { fromBase64url } from "../util/bytes.js";

/** The longest side of a preview (px). */
export const PREVIEW_SIDE = 160;
/** A preview travels in one message. */
export const PREVIEW_BYTES = 16 * 1024;
/** How many a receiver may ask for over one link. */
export const PREVIEW_COUNT = 50;
const TYPES = ["image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp"];
/** What is drawn from is decoded whole, and a receiver decides when. */
const SOURCE_BYTES = 32 * 1024 * 1024;
const SOURCE_PIXELS = 50_000_000;
const QUALITIES = [0.75, 0.5, 0.25];
const JPEG = "image/jpeg";
/** How many a sharer keeps, so that the next receiver costs it nothing. */
const KEPT = 100;

/** @typedef {import("./catalogue.js").Source} Source */
/** @typedef {(file: Source) => Promise<Uint8Array<ArrayBuffer> | null>} Draw */

/**
 * @param {{type?: string, size: number}} file
 * @returns {boolean} whether there may be a preview of it
 */
export function canPreview({ type, size }) {
  return TYPES.includes(type ?? "") && size > 0 && size <= SOURCE_BYTES;
}

/**
 * What a sharer shows of its files: drawn when first asked for, one at a time however
 * many receivers ask.
 */
export class Previews {
  #draw;
  /** @type {Map<Source, Promise<Uint8Array<ArrayBuffer> | null>>} oldest first */
  #known = new Map();
  /** @type {Promise<unknown>} */
  #turn = Promise.resolve();

  /** @param {Draw} [draw] */
  constructor(draw = drawPreview) {
    this.#draw = draw;
  }

  /**
   * @param {Source} file
   * @returns {Promise<Uint8Array<ArrayBuffer> | null>} a JPEG; null where there is nothing to see
   */
  of(file) {
    if (!canPreview(file)) return Promise.resolve(null);
    const drawn = this.#known.get(file) ?? this.#inTurn(file);
    this.#known.delete(file);
    this.#known.set(file, drawn);
    const [oldest] = this.#known.keys();
    if (this.#known.size > KEPT) this.#known.delete(oldest);
    return drawn;
  }

  /** @param {Source} file */
  #inTurn(file) {
    // What cannot be read or decoded has no preview; whether it can be sent, its pieces tell.
    const drawn = this.#turn.then(() => this.#draw(file)).catch(() => null);
    this.#turn = drawn;
    return drawn;
  }
}

/**
 * @param {any} image as it came from the network
 * @returns {Blob | null} to be shown by an `img`, and by nothing else
 */
export function toPicture(image) {
  if (typeof image !== "string" || image.length > PREVIEW_BYTES * 1.5) return null;
  const bytes = fromBase64url(image);
  return bytes && isPreview(bytes) ? new Blob([bytes], { type: JPEG }) : null;
}

/**
 * A few bytes may declare a picture of four thousand million pixels, so the size is read
 * before anything decodes it: JPEG's segments up to the one that says it.
 *
 * @param {Uint8Array} bytes
 * @returns {boolean}
 */
function isPreview(bytes) {
  const number = (/** @type {number} */ at) => bytes[at] * 256 + bytes[at + 1];
  const fits = (/** @type {number} */ side) => side > 0 && side <= PREVIEW_SIDE;
  if (bytes.length > PREVIEW_BYTES || number(0) !== 0xffd8) return false;
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff; at += 2 + number(at + 2)) {
    const marker = bytes[at + 1];
    if (marker >= 0xc0 && marker <= 0xc2) return fits(number(at + 5)) && fits(number(at + 7));
    if (marker === 0xda) return false; // the picture begins without a size
  }
  return false;
}

/** @type {Draw} */
async function drawPreview(file) {
  const blob = file.slice(0, file.size, file.type);
  const { width, height } = await measure(blob);
  if (width * height > SOURCE_PIXELS) return null;
  const scale = Math.min(1, PREVIEW_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d", { alpha: false });
  const bitmap = await createImageBitmap(blob);
  if (!pen) return null;
  pen.fillStyle = "#fff"; // JPEG knows no transparency, and black on black shows nothing
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "medium";
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  for (const quality of QUALITIES) {
    const jpeg = await new Promise((resolve) => canvas.toBlob(resolve, JPEG, quality));
    if (jpeg.size <= PREVIEW_BYTES) return new Uint8Array(await jpeg.arrayBuffer());
  }
  return null;
}

/**
 * An image that is loaded and not shown has been read as far as its header.
 *
 * @param {Blob} blob
 */
async function measure(blob) {
  const image = new Image();
  const url = URL.createObjectURL(blob);
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
      image.src = url;
    });
    return { width: image.naturalWidth, height: image.naturalHeight };
  } finally {
    URL.revokeObjectURL(url);
  }
}
