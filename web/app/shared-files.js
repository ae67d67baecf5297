/** The sender's files: their number, size and pictures, and behind them the list, from which they can be removed. */

import { element } from "./dom.js";
import { createTile } from "./file-tile.js";
import { FileTree } from "./file-tree.js";
import { formatFiles, t } from "./i18n.js";
import { LazyThumbnails } from "./lazy-thumbnails.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./tree-model.js").TreeNode} TreeNode */

/** How many files are pictured in the summary. */
const MAX_TILES = 4;
/** From this width on, the list has a column of its own. */
const WIDE = "(min-width: 56rem)";

export class SharedFiles {
  #tree;
  #thumbnails;
  /** The ids in the summary, so that it is drawn again only when they change. */
  #pictured = "";

  /**
   * @param {object} callbacks
   * @param {(ids: string[]) => void} callbacks.onRemove
   * @param {(entry: FileEntry) => Promise<Blob | null>} callbacks.fetchPreview
   */
  constructor({ onRemove, fetchPreview }) {
    const remove = (/** @type {TreeNode} */ { entries }) => onRemove(entries.map(({ id }) => id));
    this.#thumbnails = new LazyThumbnails(fetchPreview);
    this.#tree = new FileTree(element("share-files", HTMLElement), this.#thumbnails, {
      create: (node) => ({ after: createRemoveButton(node, () => remove(node)) }),
      remove,
    });
    element("share-list", HTMLDetailsElement).open = matchMedia(WIDE).matches;
  }

  /** @param {FileEntry[]} entries */
  show(entries) {
    element("share-sum", HTMLElement).textContent = entries.length === 0 ? t("nothing_on_offer") : formatFiles(entries);
    element("share-list", HTMLElement).classList.toggle("empty", entries.length === 0);
    this.#tree.show(entries);
    this.#showTiles(entries.slice(0, MAX_TILES));
  }

  /** @param {FileEntry[]} entries */
  #showTiles(entries) {
    const pictured = entries.map(({ id }) => id).join();
    if (pictured === this.#pictured) return;
    this.#pictured = pictured;
    const tiles = entries.map((entry) => {
      const tile = createTile(entry);
      void this.#thumbnails.show(entry, tile);
      return tile;
    });
    element("share-tiles", HTMLElement).replaceChildren(...tiles);
  }
}

/**
 * @param {TreeNode} node
 * @param {() => void} onPress
 */
function createRemoveButton({ path, children, entries }, onPress) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain small";
  button.textContent = t("remove");
  button.setAttribute("aria-label", t("remove_name", children || entries[0].isFolder ? `${path}/` : path));
  button.addEventListener("click", onPress);
  return button;
}
