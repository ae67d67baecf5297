/** Loads thumbnails.js when a list contains the first image, so that the page opens faster. */

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */

export class LazyThumbnails {
  #fetchPreview;
  /** @type {Promise<import("./thumbnails.js").Thumbnails> | null} */
  #thumbnails = null;

  /** @param {(entry: FileEntry) => Promise<Blob | null>} fetchPreview */
  constructor(fetchPreview) {
    this.#fetchPreview = fetchPreview;
  }

  /** @param {Array<{entry: FileEntry, row: HTMLElement}>} rows all rows of a new list */
  async show(rows) {
    if (!rows.some(({ entry }) => entry.type.startsWith("image/"))) return;
    this.#thumbnails ??= import("./thumbnails.js").then(({ Thumbnails }) => new Thumbnails(this.#fetchPreview));
    const thumbnails = await this.#thumbnails;
    if (rows.every(({ row }) => row.isConnected)) thumbnails.show(rows); // otherwise a newer list has replaced this one
  }
}
