/** Shows the SHA-256 of a file, which the user can compare with the other side's, or with `sha256sum`. */

import { element } from "./dom.js";

/** @type {WeakMap<Blob, Promise<string>>} each file is read once */
const hashes = new WeakMap();
/** @type {WeakMap<HTMLElement, Blob>} the file whose hash each element is to show */
const requested = new WeakMap();

/**
 * Shows the hash as soon as a worker has computed it.
 *
 * @param {string} id of the element
 * @param {Blob | null} file null hides the element
 */
export async function showFileHash(id, file) {
  const place = element(id, HTMLElement);
  if (file && requested.get(place) === file) return;
  place.hidden = true;
  requested.delete(place);
  if (!file) return;
  requested.set(place, file);
  try {
    const hash = await hashOf(file);
    if (requested.get(place) !== file) return; // replaced by another file
    const code = document.createElement("code");
    code.textContent = hash;
    place.replaceChildren("SHA-256 ", code);
    place.hidden = false;
  } catch {
    // A file that cannot be read has no hash; the error is shown when it is sent.
  }
}

/** @param {Blob} file */
async function hashOf(file) {
  const { digestInWorker } = await import("../lib/share/digest-in-worker.js");
  const hash = hashes.get(file) ?? digestInWorker(file);
  hashes.set(file, hash);
  return hash;
}
