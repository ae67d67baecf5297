/** The texts of a sharer's tab, which survive a reload and are gone when the tab is closed. */

import { textFile } from "../lib/share/file-entry.js";

/** @typedef {import("./file-handles.js").PickedFile} PickedFile */

/** @param {string} shareId */
const itemOf = (shareId) => `handclasp.texts.${shareId}`;

/**
 * @param {string} shareId
 * @returns {PickedFile[]}
 */
export function loadTexts(shareId) {
  /** @type {Array<{name: string, text: string}>} */
  const saved = JSON.parse(sessionStorage.getItem(itemOf(shareId)) ?? "[]");
  return saved.map(({ name, text }) => ({ file: textFile(text, name), path: [name] }));
}

/**
 * @param {string} shareId
 * @param {File[]} files
 */
export async function saveTexts(shareId, files) {
  const texts = await Promise.all(files.map(async (file) => ({ name: file.name, text: await file.text() })));
  try {
    sessionStorage.setItem(itemOf(shareId), JSON.stringify(texts));
  } catch {
    // There is no room: after a reload, the texts are no longer shared.
  }
}

/** @param {string} shareId */
export function forgetTexts(shareId) {
  sessionStorage.removeItem(itemOf(shareId));
}
