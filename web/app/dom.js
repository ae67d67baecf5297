/** Getting at the page's elements, with their types checked; no behaviour of the app. */

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
 * Shows a sentence, or hides its place when there is none.
 *
 * @param {HTMLElement} place
 * @param {string} sentence
 */
export function say(place, sentence) {
  place.hidden = sentence === "";
  // A live region speaks at every change, so the same words are not written twice.
  if (place.textContent !== sentence) place.textContent = sentence;
}

/**
 * Speaks to screen readers alone, for what others see by itself.
 *
 * @param {string} sentence
 */
export function announce(sentence) {
  element("live", HTMLElement).textContent = sentence;
}
