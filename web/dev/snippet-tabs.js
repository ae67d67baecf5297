/** The snippets as tabs, of which one is shown. */

import { copyOnClick } from "./copy.js";
import { make } from "./dom.js";

/**
 * @param {HTMLElement} place
 * @param {import("./snippets.js").Snippet[]} snippets
 */
export function showSnippets(place, snippets) {
  const list = make("div", "tabs");
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", "Clients");
  const panels = snippets.map(panelOf);
  const tabs = snippets.map(({ id, title }) => {
    const tab = make("button", "plain small", title);
    tab.type = "button";
    tab.id = `tab-${id}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", `snippet-${id}`);
    list.append(tab);
    return tab;
  });
  const select = (/** @type {number} */ chosen) => {
    for (const [at, tab] of tabs.entries()) {
      tab.setAttribute("aria-selected", String(at === chosen));
      tab.tabIndex = at === chosen ? 0 : -1;
      panels[at].hidden = at !== chosen;
    }
  };
  for (const [at, tab] of tabs.entries()) tab.addEventListener("click", () => select(at));
  list.addEventListener("keydown", (event) => {
    const next = neighbour(event.key, tabs.findIndex((tab) => tab.tabIndex === 0), tabs.length);
    if (next === null) return;
    event.preventDefault();
    select(next);
    tabs[next].focus();
  });
  place.replaceChildren(list, ...panels);
  select(0);
}

/**
 * @param {string} key
 * @param {number} at
 * @param {number} count
 * @returns {number | null} the tab that this key goes to
 */
function neighbour(key, at, count) {
  if (key === "ArrowRight") return (at + 1) % count;
  if (key === "ArrowLeft") return (at + count - 1) % count;
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : null;
}

/** @param {import("./snippets.js").Snippet} snippet */
function panelOf({ id, title, language, code, note }) {
  const text = make("code", "", code);
  text.dataset.snippet = id;
  text.dataset.language = language;
  const shown = make("pre", "", text);
  // It may be wider than the screen, so the keyboard must be able to scroll it.
  shown.tabIndex = 0;
  shown.setAttribute("role", "region");
  shown.setAttribute("aria-label", `Code for ${title}`);
  const copy = make("button", "small", "Copy");
  copy.type = "button";
  copyOnClick(copy, () => code, text);
  const panel = make("div", "snippet", shown, make("div", "snippet-end", make("p", "quiet", note), copy));
  panel.id = `snippet-${id}`;
  panel.setAttribute("role", "tabpanel");
  panel.setAttribute("aria-labelledby", `tab-${id}`);
  return panel;
}
