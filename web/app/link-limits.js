/** The limits of a link: only one download, and an expiry. Their forms, and a sentence under the link. */

import { element, showText } from "./dom.js";
import { formatMoment, t } from "./i18n.js";

/** @typedef {{once: boolean, isUsed: boolean, seconds: number, expiresAt: number | null}} SavedLimits
 *   seconds: what was chosen, 0 for no expiry; expiresAt: since 1970, in ms */

/** @type {Readonly<SavedLimits>} */
export const NO_LIMITS = { once: false, isUsed: false, seconds: 0, expiresAt: null };

export class LinkLimits {
  #share;
  #saved;
  #onChange;

  /**
   * @param {import("../lib/share/file-share.js").FileShare} share
   * @param {SavedLimits} saved
   * @param {(saved: SavedLimits) => void} onChange
   */
  constructor(share, saved, onChange) {
    this.#share = share;
    this.#saved = saved;
    this.#onChange = onChange;
    share.on("closed", (cause) => this.#save({ isUsed: cause === "used" }));
  }

  open() {
    const once = element("once", HTMLInputElement);
    const expiry = element("expiry", HTMLSelectElement);
    once.checked = this.#saved.once;
    expiry.value = String(this.#saved.seconds);
    element("once-form", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
    once.addEventListener("change", () => {
      this.#share.once = once.checked;
      this.#save({ once: once.checked, isUsed: false });
    });
    element("expiry-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      const seconds = Number(expiry.value);
      const expiresAt = seconds > 0 ? Date.now() + seconds * 1_000 : null;
      this.#share.expiresAt = expiresAt === null ? null : new Date(expiresAt);
      this.#save({ seconds, expiresAt });
    });
    this.#show();
  }

  /** @param {Partial<SavedLimits>} change */
  #save(change) {
    this.#saved = { ...this.#saved, ...change };
    this.#show();
    this.#onChange(this.#saved);
  }

  #show() {
    showText(element("limits-state", HTMLElement), this.#text());
  }

  #text() {
    const { closed, once, expiresAt } = this.#share;
    if (closed) return t(closed === "used" ? "limit_used" : "limit_expired");
    if (!expiresAt) return once ? t("limit_once") : "";
    return t(once ? "limit_both" : "limit_until", formatMoment(expiresAt));
  }
}
