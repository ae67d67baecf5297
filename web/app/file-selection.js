/** What the sender offers, as a list to choose from. */

import { element } from "./dom.js";
import { sizeText, t } from "./i18n.js";

/** @typedef {import("../lib/share/catalogue.js").Entry} Entry */

const BUTTONS = /** @type {const} */ ([["download", "downloads"], ["download-file", "file"], ["download-folder", "folder"]]);

export class Offers {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Set<string>} ids that are not wanted */
  #unwanted = new Set();
  #isEnabled = true;
  #preview;
  /** @type {Promise<import("./thumbnails.js").Pictures> | null} */
  #pictures = null;

  /**
   * @param {object} actions
   * @param {(entries: Entry[], place: import("./download-panel.js").Place) => void} actions.take
   * @param {(entry: Entry) => Promise<Blob | null>} actions.preview
   */
  constructor({ take, preview }) {
    this.#preview = preview;
    for (const [id, place] of BUTTONS) element(id, HTMLElement).addEventListener("click", () => take(this.#wanted(), place));
    element("download-folder", HTMLElement).hidden = !("showDirectoryPicker" in globalThis);
  }

  /** @param {Entry[]} entries */
  show(entries) {
    this.#entries = entries;
    const rows = entries.map((entry) => ({ entry, place: this.#itemOf(entry) }));
    element("offers", HTMLElement).replaceChildren(...rows.map(({ place }) => place));
    this.#update();
    if (entries.some(({ type }) => type.startsWith("image/"))) void this.#showPictures(rows);
  }

  /** @param {Array<{entry: Entry, place: HTMLElement}>} rows */
  async #showPictures(rows) {
    this.#pictures ??= import("./thumbnails.js").then(({ Pictures }) => new Pictures(this.#preview));
    const pictures = await this.#pictures;
    if (rows.every(({ place }) => place.isConnected)) pictures.show(rows); // else a later list has come
  }

  /** @param {boolean} isEnabled */
  enable(isEnabled) {
    this.#isEnabled = isEnabled;
    this.#update();
  }

  #wanted() {
    return this.#entries.filter(({ id }) => !this.#unwanted.has(id));
  }

  #update() {
    const wanted = this.#wanted().length;
    const all = this.#entries.length;
    const download = element("download", HTMLButtonElement);
    download.textContent = wanted === 0 ? t("take_none") : wanted < all ? t("take_some", wanted, all) : t(all === 1 ? "take_one" : "take_all");
    for (const [id] of BUTTONS) element(id, HTMLButtonElement).disabled = wanted === 0 || !this.#isEnabled;
    element("download-file", HTMLElement).hidden = wanted !== 1 || !("showSaveFilePicker" in globalThis);
    for (const box of document.querySelectorAll("#offers input")) /** @type {HTMLInputElement} */ (box).disabled = !this.#isEnabled;
    element("takes", HTMLElement).hidden = all === 0 || !this.#isEnabled;
  }

  /** @param {Entry} entry */
  #itemOf({ id, path, size }) {
    const item = document.createElement("li");
    const label = document.createElement("label");
    const box = document.createElement("input");
    const name = document.createElement("bdi");
    const figure = document.createElement("span");
    box.type = "checkbox";
    box.checked = !this.#unwanted.has(id);
    box.hidden = this.#entries.length === 1;
    box.addEventListener("change", () => {
      if (box.checked) this.#unwanted.delete(id);
      else this.#unwanted.add(id);
      this.#update();
    });
    name.textContent = path.join("/");
    figure.className = "quiet";
    figure.textContent = sizeText(size);
    label.append(box, name, figure);
    item.append(label);
    return item;
  }
}
