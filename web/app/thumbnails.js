/** Previews of images in the tiles of a list of files. */

import { entryKey } from "../lib/share/file-entry.js";
import { canPreview } from "../lib/share/preview.js";
import { MAX_PREVIEWS } from "../lib/share/protocol.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */

export class Thumbnails {
  #fetchPreview;
  /** @type {Map<string, Promise<string | null>>} URLs by `entryKey` the entry */
  #urls = new Map();
  #listed = /** @type {FileEntry[] | null} */ (null);
  /** @type {Set<string>} the keys of those that may have a preview */
  #allowed = new Set();

  /** @param {(entry: FileEntry) => Promise<Blob | null>} fetchPreview */
  constructor(fetchPreview) {
    this.#fetchPreview = fetchPreview;
  }

  /** @param {FileEntry[]} entries the whole list, of which only the first images have previews */
  list(entries) {
    if (entries === this.#listed) return;
    this.#listed = entries;
    this.#allowed = new Set(entries.filter(canPreview).slice(0, MAX_PREVIEWS).map(entryKey));
    for (const [key, url] of this.#urls) {
      if (this.#allowed.has(key)) continue;
      this.#urls.delete(key);
      void url.then((text) => text && URL.revokeObjectURL(text));
    }
  }

  /**
   * @param {FileEntry} entry
   * @param {HTMLElement} tile
   */
  async show(entry, tile) {
    const key = entryKey(entry);
    if (!this.#allowed.has(key)) return;
    const known = this.#urls.get(key) ?? this.#fetchPreview(entry).then(decode, () => null);
    this.#urls.set(key, known);
    const url = await known;
    if (!url) {
      if (this.#urls.get(key) === known) this.#urls.delete(key); // the next list may fetch it again
      return;
    }
    const image = new Image();
    image.alt = ""; // the name is beside it
    image.src = url;
    tile.replaceChildren(image);
  }
}

/** @param {Blob | null} jpeg @returns {Promise<string | null>} its URL; null if it cannot be decoded */
async function decode(jpeg) {
  if (!jpeg) return null;
  const url = URL.createObjectURL(jpeg);
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
    return url;
  } catch {
    URL.revokeObjectURL(url);
    return null;
  }
}
