/** Elements of the developers' page: found by id, and made with their texts. All texts are set as text, never as HTML. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new TypeError(`page has no ${type.name} #${id}`);
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className empty: none
 * @param {Array<string | Node>} content
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/**
 * Shows a message, or hides its place. Screen readers read every change of a live region, so the same text is not set
 * again.
 *
 * @param {HTMLElement} place
 * @param {string} text empty hides the place
 * @param {"good" | "wait" | "bad" | "neutral"} kind
 */
export function showNotice(place, text, kind = "neutral") {
  place.className = `notice ${kind}`;
  place.hidden = text === "";
  if (place.textContent !== text) place.textContent = text;
}
