/** Typed access to the page's elements, and messages to the user. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`page has no ${type.name} with the id ${id}`);
  return found;
}

/**
 * @param {string} name of an element of SVG
 * @param {Record<string, string>} attributes
 */
export function createSvg(name, attributes) {
  const created = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  return created;
}

/**
 * @param {ClipboardEvent} event
 * @returns {boolean} whether a paste goes into a field that can be written to
 */
export function isIntoField({ target }) {
  return target instanceof Element && target.matches(":read-write");
}

/**
 * @param {HTMLElement} place
 * @param {string} text empty hides the place
 */
export function showText(place, text) {
  place.hidden = text === "";
  // Screen readers read every change of a live region, so the same text is not set again.
  if (place.textContent !== text) place.textContent = text;
}

/**
 * @typedef {"good" | "wait" | "bad" | "neutral" | "plain-line"} NoticeKind green for what succeeded, amber while something is awaited,
 *   red for what needs the person, grey for the rest; plain-line: it only says what the steps above it show
 */

/**
 * @param {HTMLElement} place
 * @param {string} text empty hides the place
 * @param {NoticeKind} kind
 */
export function showNotice(place, text, kind) {
  place.className = `notice ${kind}`;
  showText(place, text);
}

/**
 * Tells screen readers about a change that is visible on the page.
 *
 * @param {string} text
 */
export function announce(text) {
  element("live", HTMLElement).textContent = text;
}
