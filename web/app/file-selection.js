/** The list of the sender's files, from which the user selects those to download. */

import { pathText, stableKeys } from "../lib/share/file-entry.js";
import { element } from "./dom.js";
import { FileTree } from "./file-tree.js";
import { t } from "./i18n.js";
import { LazyThumbnails } from "./lazy-thumbnails.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./tree-model.js").TreeNode} TreeNode */
/** @typedef {import("./download-panel.js").Destination} Destination */

const BUTTONS = /** @type {const} */ ([["download", "downloads"], ["download-file", "file"], ["download-folder", "folder"]]);

/** How many changed names are shown. */
const MAX_RENAMED = 100;

export class FileSelection {
  /** @type {FileEntry[]} */
  #entries = [];
  /** @type {Map<FileEntry, string>} */
  #keys = new Map();
  /** @type {Set<string>} the keys of the unselected files, also of those that the sender does not share at the moment */
  #unselected = new Set();
  #isEnabled = true;
  #tree;
  #all = element("select-all", HTMLInputElement);

  /**
   * @param {object} callbacks
   * @param {(entries: FileEntry[], destination: Destination) => void} callbacks.onDownload
   * @param {(entry: FileEntry) => Promise<Blob | null>} callbacks.fetchPreview
   */
  constructor({ onDownload, fetchPreview }) {
    this.#tree = new FileTree(element("offers", HTMLElement), new LazyThumbnails(fetchPreview), {
      create: (node) => (this.#entries.length > 1 ? { before: this.#createBox(node) } : {}),
      update: ({ entries }, row) => {
        const box = row.querySelector("input");
        if (box) this.#updateBox(box, entries);
      },
      toggle: ({ entries }) => this.#toggle(entries),
      selection: {
        isPossible: () => this.#entries.length > 1,
        isSelected: ({ entries }) => entries.every((entry) => this.#isSelected(entry)),
        selectAll: () => this.#select(this.#entries, true),
      },
    });
    this.#all.addEventListener("change", () => this.#toggle(this.#entries));
    for (const [id, destination] of BUTTONS) {
      element(id, HTMLElement).addEventListener("click", () => onDownload(this.#selected(), destination));
    }
    element("download-folder", HTMLElement).hidden = !("showDirectoryPicker" in globalThis);
  }

  /** @param {FileEntry[]} entries */
  show(entries) {
    const keys = stableKeys(entries);
    this.#entries = entries;
    this.#keys = new Map(entries.map((entry, index) => [entry, keys[index]]));
    this.#tree.show(entries);
    this.#update();
    showRenamed(entries);
  }

  /** @param {boolean} isEnabled */
  setEnabled(isEnabled) {
    this.#isEnabled = isEnabled;
    this.#update();
  }

  /** @param {FileEntry} entry */
  #isSelected(entry) {
    return !this.#unselected.has(/** @type {string} */ (this.#keys.get(entry)));
  }

  #selected() {
    return this.#entries.filter((entry) => this.#isSelected(entry));
  }

  #update() {
    const selected = this.#selected().length;
    const all = this.#entries.length;
    const download = element("download", HTMLButtonElement);
    download.textContent = selected === 0 ? t("take_none") : selected < all ? t("take_some", selected, all) : t(all === 1 ? "take_one" : "take_all");
    for (const [id] of BUTTONS) element(id, HTMLButtonElement).disabled = selected === 0 || !this.#isEnabled;
    element("download-file", HTMLElement).hidden = selected !== 1 || this.#selected()[0].isFolder === true || !("showSaveFilePicker" in globalThis);
    element("select-all-label", HTMLElement).hidden = all < 2;
    this.#updateBox(this.#all, this.#entries);
    this.#tree.update();
    element("takes", HTMLElement).hidden = all === 0 || !this.#isEnabled;
  }

  /** @param {TreeNode} node */
  #createBox({ entries, children, path }) {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", children ? `${path}/` : pathText(entries[0]));
    box.addEventListener("change", () => this.#toggle(entries));
    return box;
  }

  /**
   * @param {HTMLInputElement} box
   * @param {FileEntry[]} entries
   */
  #updateBox(box, entries) {
    const selected = entries.filter((entry) => this.#isSelected(entry)).length;
    box.checked = selected === entries.length;
    box.indeterminate = selected > 0 && !box.checked;
    box.disabled = !this.#isEnabled;
  }

  /** @param {FileEntry[]} entries all of which are selected then, or none if all were */
  #toggle(entries) {
    this.#select(entries, !entries.every((entry) => this.#isSelected(entry)));
  }

  /**
   * @param {FileEntry[]} entries
   * @param {boolean} isSelected
   */
  #select(entries, isSelected) {
    if (!this.#isEnabled || this.#entries.length < 2) return;
    for (const entry of entries) {
      const key = /** @type {string} */ (this.#keys.get(entry));
      if (isSelected) this.#unselected.delete(key);
      else this.#unselected.add(key);
    }
    this.#update();
  }
}

/**
 * Tells, behind a summary, which names the sender has written in another way.
 *
 * @param {FileEntry[]} entries
 */
function showRenamed(entries) {
  const renamed = entries.filter(({ sentAs }) => sentAs !== undefined);
  const rows = renamed.slice(0, MAX_RENAMED).map(({ sentAs = "", path }) => {
    const row = document.createElement("li");
    const [before, after] = [sentAs, path.join("/")].map((name) => Object.assign(document.createElement("bdi"), { textContent: name }));
    row.append(before, " → ", after);
    return row;
  });
  element("renamed", HTMLElement).hidden = renamed.length === 0;
  element("renamed-sum", HTMLElement).textContent = t("renamed", renamed.length);
  element("renamed-files", HTMLElement).replaceChildren(...rows);
}
