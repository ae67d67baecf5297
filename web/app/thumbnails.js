/** Small pictures beside the names of images in a list. What may be one is the library's preview.js's to say. */

import { PREVIEW_COUNT, canPreview } from "../lib/share/preview.js";

/** @typedef {import("../lib/share/catalogue.js").Entry} Entry */

export class Pictures {
  #ask;
  /** @type {Map<string, HTMLImageElement | null>} by what the entry is; null while it is asked for */
  #known = new Map();
  /** @type {Map<string, HTMLElement>} where each is to be seen now */
  #places = new Map();

  /** @param {(entry: Entry) => Promise<Blob | null>} ask */
  constructor(ask) {
    this.#ask = ask;
  }

  /** @param {Array<{entry: Entry, place: HTMLElement}>} rows of the whole list, made anew */
  show(rows) {
    const images = rows.filter(({ entry }) => canPreview(entry)).slice(0, PREVIEW_COUNT);
    this.#places = new Map(images.map(({ entry, place }) => [keyOf(entry), place]));
    for (const key of this.#known.keys()) if (!this.#places.has(key)) this.#known.delete(key);
    for (const { entry, place } of images) {
      place.classList.add("pictured"); // keeps its height when the picture comes
      const picture = this.#known.get(keyOf(entry));
      if (picture) put(picture, place);
      else if (picture === undefined) void this.#load(entry);
    }
  }

  /** @param {Entry} entry */
  async #load(entry) {
    const key = keyOf(entry);
    this.#known.set(key, null);
    const picture = await this.#ask(entry).then(decoded, () => null);
    // None, or gone from the list: the next list may ask again.
    if (!picture || !this.#known.has(key)) return void this.#known.delete(key);
    this.#known.set(key, picture);
    put(picture, this.#places.get(key));
  }
}

/**
 * @param {HTMLImageElement} picture
 * @param {HTMLElement | undefined} place
 */
function put(picture, place) {
  place?.querySelector("bdi")?.before(picture);
}

/** @param {Entry} entry an id alone is given anew after the sender's reload */
function keyOf({ id, path, size }) {
  return JSON.stringify([id, path, size]);
}

/** @param {Blob | null} jpeg @returns {Promise<HTMLImageElement | null>} that can be drawn; null for one that is broken */
async function decoded(jpeg) {
  if (!jpeg) return null;
  const picture = new Image();
  const url = URL.createObjectURL(jpeg);
  picture.src = url;
  picture.alt = ""; // the name stands beside it
  try {
    await picture.decode();
    return picture;
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}
