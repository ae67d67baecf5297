/** Loads thumbnails.js with the first image that is shown, so that the page opens faster. */

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */

export class LazyThumbnails {
  #fetchPreview;
  /** @type {Promise<import("./thumbnails.js").Thumbnails> | null} */
  #thumbnails = null;
  /** @type {FileEntry[]} */
  #entries = [];

  /** @param {(entry: FileEntry) => Promise<Blob | null>} fetchPreview */
  constructor(fetchPreview) {
    this.#fetchPreview = fetchPreview;
  }

  /** @param {FileEntry[]} entries the whole list */
  list(entries) {
    this.#entries = entries;
    this.#thumbnails?.then((thumbnails) => thumbnails.list(this.#entries)).catch(() => {}); // the icons stay
  }

  /**
   * Puts the preview of an image into its tile, if it has one.
   *
   * @param {FileEntry} entry of the list
   * @param {HTMLElement} tile
   */
  async show(entry, tile) {
    if (!entry.type.startsWith("image/")) return;
    this.#thumbnails ??= import("./thumbnails.js").then(({ Thumbnails }) => new Thumbnails(this.#fetchPreview));
    try {
      const thumbnails = await this.#thumbnails;
      thumbnails.list(this.#entries);
      await thumbnails.show(entry, tile);
    } catch {
      this.#thumbnails = null; // the module could not be loaded: the icon stays, and the next tile may try again
    }
  }
}
