/** One file's SHA-256, where two people can compare it with each other, or with sha256sum. */

import { element } from "./dom.js";

/** @type {WeakMap<Blob, Promise<string>>} a file is read for it once */
const known = new WeakMap();
/** @type {WeakMap<HTMLElement, Blob>} whose hash each line is about */
const wanted = new WeakMap();

/**
 * Shows the hash as soon as it is known; a large file takes its time, in a worker.
 *
 * @param {string} id of the line
 * @param {Blob | null} file null hides the line
 */
export async function showHash(id, file) {
  const line = element(id, HTMLElement);
  if (file && wanted.get(line) === file) return;
  line.hidden = true;
  wanted.delete(line);
  if (!file) return;
  wanted.set(line, file);
  try {
    const hash = await hashOf(file);
    if (wanted.get(line) !== file) return; // another file has taken its place
    const code = document.createElement("code");
    code.textContent = hash;
    line.replaceChildren("SHA-256 ", code);
    line.hidden = false;
  } catch {
    // A file that cannot be read is complained of where it is sent; there is nothing to compare.
  }
}

/** @param {Blob} file */
async function hashOf(file) {
  const { digestInWorker } = await import("../lib/share/file-digest.js");
  const hash = known.get(file) ?? digestInWorker(file);
  known.set(file, hash);
  return hash;
}
