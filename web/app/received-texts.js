/** The texts of a share: they are read at once, shown as text and nothing else, and copied with one button. */

import { Download } from "../lib/share/download.js";
import { TextTarget } from "../lib/share/targets/text-target.js";
import { copyText } from "./copy-text.js";
import { announce, element } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */

export class ReceivedTexts {
  #fetch;
  /** @type {Set<string>} `keyOf` the entries that were requested: the ids are others after the sender's reload */
  #known = new Set();

  /** @param {import("../lib/share/file-fetch.js").FileFetch} fetch */
  constructor(fetch) {
    this.#fetch = fetch;
  }

  /**
   * Reads those that are new.
   *
   * @param {FileEntry[]} entries texts
   * @param {boolean} isAll whether the share has nothing else, so that the sender sees that all has arrived
   * @returns {Promise<number>} how many have arrived
   */
  async read(entries, isAll) {
    const wanted = entries.filter((entry) => !this.#known.has(keyOf(entry)));
    if (wanted.length === 0) return 0;
    for (const entry of wanted) this.#known.add(keyOf(entry));
    const target = new TextTarget();
    const download = new Download(wanted, target, { isReported: isAll });
    this.#fetch.add(download);
    try {
      await download.finished;
    } catch {
      for (const entry of wanted) this.#known.delete(keyOf(entry)); // the page says why; another connection reads them again
      return 0;
    }
    element("texts", HTMLElement).append(...wanted.flatMap(({ id }) => {
      const text = target.texts.get(id);
      return text === undefined ? [] : [createCard(text)];
    }));
    return target.texts.size;
  }
}

/** @param {string} text of a stranger: never HTML */
function createCard(text) {
  const card = document.createElement("div");
  const content = document.createElement("pre");
  const copy = document.createElement("button");
  card.className = "card text-card";
  content.textContent = text;
  content.dir = "auto";
  content.tabIndex = 0; // so that the keyboard can scroll it
  content.setAttribute("role", "region");
  content.setAttribute("aria-label", t("text_label"));
  copy.type = "button";
  copy.className = "primary";
  copy.textContent = t("copy_text");
  copy.addEventListener("click", async () => {
    const isCopied = await copyText(text);
    if (!isCopied) getSelection()?.selectAllChildren(content);
    copy.textContent = t(isCopied ? "copied" : "copy_by_hand");
    announce(copy.textContent);
  });
  card.append(content, copy);
  return card;
}

/** @param {FileEntry} entry */
function keyOf({ path, size }) {
  return JSON.stringify([path, size]);
}
