/** The list of languages in the page's header, and the choice that the browser keeps. */

import { element } from "./dom.js";
import { language, t } from "./i18n.js";

const KEPT_ITEM = "handclasp.language";

/** Each language's own name, so that its readers find it. */
const NAMES = {
  de: "Deutsch",
  en: "English",
  es: "Español",
  fr: "Français",
  pt: "Português",
  ko: "한국어",
  ja: "日本語",
  "zh-Hans": "简体中文",
  "zh-Hant": "繁體中文",
};

/** @returns {readonly string[]} the language that was chosen on this page, if any, before those of the browser */
export function preferredLanguages() {
  try {
    const kept = localStorage.getItem(KEPT_ITEM);
    return kept === null ? navigator.languages : [kept, ...navigator.languages];
  } catch {
    return navigator.languages; // this browser lets the page keep nothing
  }
}

/** A browser that keeps nothing gets no switch, because the choice takes effect by a reload. */
export function showLanguageSwitch() {
  if (!canKeep()) return;
  const select = document.createElement("select");
  select.className = "language";
  select.autocomplete = "off"; // else Firefox fills in what was selected before a reload
  select.setAttribute("aria-label", t("language_label"));
  for (const [tag, name] of Object.entries(NAMES)) {
    const option = new Option(name, tag, tag === language, tag === language);
    option.lang = tag;
    select.append(option);
  }
  select.addEventListener("change", () => {
    localStorage.setItem(KEPT_ITEM, select.value);
    location.reload();
  });
  element("header-end", HTMLElement).append(select);
}

/** Called before the page has files or a connection, which a reload would lose. */
export function removeLanguageSwitch() {
  element("header-end", HTMLElement).querySelector(".language")?.remove();
}

function canKeep() {
  const item = `${KEPT_ITEM}.try`;
  try {
    localStorage.setItem(item, "");
    localStorage.removeItem(item);
    return true;
  } catch {
    return false;
  }
}
