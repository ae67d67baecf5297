/** The texts of a share: they are read at once, shown as text and nothing else, and copied with one button. */

import { Download } from "../lib/share/download.js";
import { entryKey } from "../lib/share/file-entry.js";
import { MAX_TEXTS } from "../lib/share/protocol.js";
import { TextTarget } from "../lib/share/targets/text-target.js";
import { copyText } from "./copy-text.js";
import { announce, element } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */

/** @typedef {{fetch: import("../lib/share/file-fetch.js").FileFetch, entries: FileEntry[], isAll: boolean}} TextList */

export class ReceivedTexts {
  /** @type {Set<string>} `entryKey` the entries of the last list that were requested */
  #known = new Set();
  /** @type {Map<string, {card: HTMLElement, key: string}>} by the text; a text is shown once, though its id changes with the sender's reload */
  #cards = new Map();
  /** @type {TextList | null} the newest list, if another is being read */
  #next = null;
  #isReading = false;

  /**
   * Reads those that are new, one list at a time: a sender that changes its list again and again is asked for the newest one only.
   *
   * @param {TextList["fetch"]} fetch of the connection that has the list
   * @param {FileEntry[]} entries the texts of a list, at most `MAX_TEXTS`
   * @param {boolean} isAll whether the share has nothing else, so that the sender sees that all has arrived
   * @returns {Promise<number>} how many new texts are shown; 0 while another call reads, which then counts them
   */
  async read(fetch, entries, isAll) {
    this.#next = { fetch, entries, isAll };
    if (this.#isReading) return 0;
    this.#isReading = true;
    let count = 0;
    try {
      while (this.#next) {
        const list = /** @type {TextList} */ (this.#next);
        this.#next = null;
        count += await this.#readList(list);
      }
    } finally {
      this.#isReading = false;
    }
    return count;
  }

  /** @param {TextList} list */
  async #readList({ fetch, entries, isAll }) {
    const listed = new Set(entries.map(entryKey));
    this.#known = new Set([...this.#known].filter((key) => listed.has(key)));
    const wanted = entries.filter((entry) => !this.#known.has(entryKey(entry)));
    if (wanted.length === 0) return 0;
    const target = new TextTarget();
    const download = new Download(wanted, target, { isReported: isAll });
    fetch.add(download);
    try {
      await download.finished;
    } catch {
      return 0; // the page says why; another connection reads them again
    }
    let count = 0;
    for (const entry of wanted) {
      this.#known.add(entryKey(entry));
      const text = target.texts.get(entry.id);
      if (text !== undefined && this.#show(text, entryKey(entry), listed)) count += 1;
    }
    return count;
  }

  /**
   * @param {string} text
   * @param {string} key
   * @param {Set<string>} listed the keys of the list
   * @returns {boolean} whether it is new
   */
  #show(text, key, listed) {
    const shown = this.#cards.get(text);
    if (shown) {
      shown.key = key;
      return false;
    }
    // A text that the sender has removed stays until there is no room for another.
    const oldest = this.#cards.size < MAX_TEXTS ? null : Array.from(this.#cards).find(([, { key }]) => !listed.has(key));
    if (oldest) {
      oldest[1].card.remove();
      this.#cards.delete(oldest[0]);
    }
    const card = createCard(text);
    this.#cards.set(text, { card, key });
    element("texts", HTMLElement).append(card);
    return true;
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
