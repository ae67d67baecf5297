/** Previews of images beside their names in a list of files. */

import { canPreview } from "../lib/share/preview.js";
import { MAX_PREVIEWS } from "../lib/share/protocol.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */

export class Thumbnails {
  #fetchPreview;
  /** @type {Map<string, HTMLImageElement | null>} by `keyOf` the entry; null while it is being fetched */
  #images = new Map();
  /** @type {Map<string, HTMLElement>} the current row of each */
  #rows = new Map();

  /** @param {(entry: FileEntry) => Promise<Blob | null>} fetchPreview */
  constructor(fetchPreview) {
    this.#fetchPreview = fetchPreview;
  }

  /** @param {Array<{entry: FileEntry, row: HTMLElement}>} rows all rows of a new list */
  show(rows) {
    const images = rows.filter(({ entry }) => canPreview(entry)).slice(0, MAX_PREVIEWS);
    this.#rows = new Map(images.map(({ entry, row }) => [keyOf(entry), row]));
    for (const key of this.#images.keys()) if (!this.#rows.has(key)) this.#images.delete(key);
    for (const { entry, row } of images) {
      row.classList.add("pictured"); // reserves the height of the image
      const image = this.#images.get(keyOf(entry));
      if (image) insert(image, row);
      else if (image === undefined) void this.#load(entry);
    }
  }

  /** @param {FileEntry} entry */
  async #load(entry) {
    const key = keyOf(entry);
    this.#images.set(key, null);
    const image = await this.#fetchPreview(entry).then(decode, () => null);
    // There is no preview, or the file is no longer in the list: the next list may fetch it again.
    if (!image || !this.#images.has(key)) return void this.#images.delete(key);
    this.#images.set(key, image);
    insert(image, this.#rows.get(key));
  }
}

/**
 * @param {HTMLImageElement} image
 * @param {HTMLElement | undefined} row
 */
function insert(image, row) {
  row?.querySelector("bdi")?.before(image);
}

/** @param {FileEntry} entry after the sender's reload the same id may belong to another file */
function keyOf({ id, path, size }) {
  return JSON.stringify([id, path, size]);
}

/** @param {Blob | null} jpeg @returns {Promise<HTMLImageElement | null>} null if it cannot be decoded */
async function decode(jpeg) {
  if (!jpeg) return null;
  const image = new Image();
  const url = URL.createObjectURL(jpeg);
  image.src = url;
  image.alt = ""; // the name is beside it
  try {
    await image.decode();
    return image;
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}
