/** The list of the sender's files, from which the user selects those to download. */

import { pathText } from "../lib/share/file-entry.js";
import { element } from "./dom.js";
import { formatSize, t } from "./i18n.js";
import { LazyThumbnails } from "./lazy-thumbnails.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./download-panel.js").Destination} Destination */

const BUTTONS = /** @type {const} */ ([["download", "downloads"], ["download-file", "file"], ["download-folder", "folder"]]);

/** How many changed names are shown. */
const MAX_RENAMED = 100;

export class FileSelection {
  /** @type {FileEntry[]} */
  #entries = [];
  /** @type {Set<string>} ids of the unselected files */
  #unselected = new Set();
  #isEnabled = true;
  #thumbnails;

  /**
   * @param {object} callbacks
   * @param {(entries: FileEntry[], destination: Destination) => void} callbacks.onDownload
   * @param {(entry: FileEntry) => Promise<Blob | null>} callbacks.fetchPreview
   */
  constructor({ onDownload, fetchPreview }) {
    this.#thumbnails = new LazyThumbnails(fetchPreview);
    for (const [id, destination] of BUTTONS) {
      element(id, HTMLElement).addEventListener("click", () => onDownload(this.#selected(), destination));
    }
    element("download-folder", HTMLElement).hidden = !("showDirectoryPicker" in globalThis);
  }

  /** @param {FileEntry[]} entries */
  show(entries) {
    this.#entries = entries;
    const rows = entries.map((entry) => ({ entry, row: this.#createRow(entry) }));
    element("offers", HTMLElement).replaceChildren(...rows.map(({ row }) => row));
    this.#update();
    showRenamed(entries);
    void this.#thumbnails.show(rows);
  }

  /** @param {boolean} isEnabled */
  setEnabled(isEnabled) {
    this.#isEnabled = isEnabled;
    this.#update();
  }

  #selected() {
    return this.#entries.filter(({ id }) => !this.#unselected.has(id));
  }

  #update() {
    const selected = this.#selected().length;
    const all = this.#entries.length;
    const download = element("download", HTMLButtonElement);
    download.textContent = selected === 0 ? t("take_none") : selected < all ? t("take_some", selected, all) : t(all === 1 ? "take_one" : "take_all");
    for (const [id] of BUTTONS) element(id, HTMLButtonElement).disabled = selected === 0 || !this.#isEnabled;
    element("download-file", HTMLElement).hidden = selected !== 1 || this.#selected()[0].isFolder === true || !("showSaveFilePicker" in globalThis);
    for (const box of document.querySelectorAll("#offers input")) /** @type {HTMLInputElement} */ (box).disabled = !this.#isEnabled;
    element("takes", HTMLElement).hidden = all === 0 || !this.#isEnabled;
  }

  /** @param {FileEntry} entry */
  #createRow(entry) {
    const { id, size } = entry;
    const row = document.createElement("li");
    const label = document.createElement("label");
    const box = document.createElement("input");
    const name = document.createElement("bdi");
    const sizeLabel = document.createElement("span");
    box.type = "checkbox";
    box.checked = !this.#unselected.has(id);
    box.hidden = this.#entries.length === 1;
    box.addEventListener("change", () => {
      if (box.checked) this.#unselected.delete(id);
      else this.#unselected.add(id);
      this.#update();
    });
    name.textContent = pathText(entry);
    sizeLabel.className = "quiet";
    sizeLabel.textContent = entry.isFolder ? t("empty_folder") : formatSize(size);
    label.append(box, name, sizeLabel);
    row.append(label);
    return row;
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
