/**
 * Previews of images. The sharer renders the pixels as a new JPEG, whatever the format of the file: no
 * part of the file is sent, in particular no metadata, and receivers accept one simple format from a
 * stranger. SVG is excluded, because it is a document.
 */

import { fromBase64url } from "../util/bytes.js";

/** The longest side of a preview (px). */
const PREVIEW_SIDE = 160;
/** A preview fits into one message. */
const PREVIEW_BYTES = 16 * 1024;
const TYPES = ["image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp"];
/** The sharer decodes the whole image when a receiver requests its preview, so its size is limited. */
const SOURCE_BYTES = 32 * 1024 * 1024;
const SOURCE_PIXELS = 50_000_000;
const QUALITIES = [0.75, 0.5, 0.25];
const JPEG = "image/jpeg";
/** How many previews a sharer keeps for the next receivers. */
const CACHE_SIZE = 100;

/** @typedef {import("./file-entry.js").FileSource} FileSource */
/** @typedef {(file: FileSource) => Promise<Uint8Array<ArrayBuffer> | null>} RenderPreview */

/**
 * @param {{type?: string, size: number}} file
 * @returns {boolean} whether it may have a preview
 */
export function canPreview({ type, size }) {
  return TYPES.includes(type ?? "") && size > 0 && size <= SOURCE_BYTES;
}

/** A sharer's previews: each is rendered at the first request, and only one at a time. */
export class PreviewCache {
  #render;
  /** @type {Map<FileSource, Promise<Uint8Array<ArrayBuffer> | null>>} oldest first */
  #cache = new Map();
  /** @type {Promise<unknown>} */
  #queue = Promise.resolve();

  /** @param {RenderPreview} [render] */
  constructor(render = renderPreview) {
    this.#render = render;
  }

  /**
   * @param {FileSource} file
   * @returns {Promise<Uint8Array<ArrayBuffer> | null>} a JPEG; null if there is no preview
   */
  get(file) {
    if (!canPreview(file)) return Promise.resolve(null);
    const preview = this.#cache.get(file) ?? this.#enqueue(file);
    this.#cache.delete(file);
    this.#cache.set(file, preview);
    const [oldest] = this.#cache.keys();
    if (this.#cache.size > CACHE_SIZE) this.#cache.delete(oldest);
    return preview;
  }

  /** @param {FileSource} file */
  #enqueue(file) {
    // A file that cannot be read or decoded has no preview; its pieces report whether it can be sent.
    const preview = this.#queue.then(() => this.#render(file)).catch(() => null);
    this.#queue = preview;
    return preview;
  }
}

/**
 * @param {any} image as received
 * @returns {Blob | null} null when it is not a valid preview
 */
export function previewBlob(image) {
  if (typeof image !== "string" || image.length > PREVIEW_BYTES * 1.5) return null;
  const bytes = fromBase64url(image);
  return bytes && isPreview(bytes) ? new Blob([bytes], { type: JPEG }) : null;
}

/**
 * A few bytes may declare an image of four billion pixels, so the dimensions are read from the JPEG
 * segments before anything decodes it.
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
    if (marker === 0xda) return false; // start of the scan without dimensions
  }
  return false;
}

/** @type {RenderPreview} */
async function renderPreview(file) {
  const blob = file.slice(0, file.size, file.type);
  const { width, height } = await measure(blob);
  if (width * height > SOURCE_PIXELS) return null;
  const scale = Math.min(1, PREVIEW_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d", { alpha: false });
  const bitmap = await createImageBitmap(blob);
  if (!context) return null;
  context.fillStyle = "#fff"; // JPEG has no transparency, and black on black would be invisible
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "medium";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  for (const quality of QUALITIES) {
    const jpeg = await new Promise((resolve) => canvas.toBlob(resolve, JPEG, quality));
    if (jpeg.size <= PREVIEW_BYTES) return new Uint8Array(await jpeg.arrayBuffer());
  }
  return null;
}

/**
 * A browser decodes only the header of an image that is loaded and not shown.
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
