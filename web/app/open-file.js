/** What the user can do with a file that has arrived and that this page still holds: open it, or hand it to an app. */

import { extensionOf } from "./file-kind.js";

/** @typedef {import("../lib/share/download-target.js").SavedFile} SavedFile */

/**
 * The types that a browser shows without running anything of the file on this origin. The sender's type is never used:
 * HTML and SVG could carry scripts. @type {Record<string, string>} by the extension
 */
const SAFE_TYPES = {
  avif: "image/avif", bmp: "image/bmp", gif: "image/gif", jpeg: "image/jpeg", jpg: "image/jpeg", png: "image/png", webp: "image/webp",
  aac: "audio/aac", flac: "audio/flac", m4a: "audio/mp4", mp3: "audio/mpeg", oga: "audio/ogg", ogg: "audio/ogg", opus: "audio/ogg", wav: "audio/wav",
  m4v: "video/mp4", mov: "video/quicktime", mp4: "video/mp4", ogv: "video/ogg", webm: "video/webm",
  heic: "image/heic", heif: "image/heif", pdf: "application/pdf", txt: "text/plain;charset=utf-8",
};

/** More files than this are handed over as their archive. */
const MAX_SHARED = 50;

/**
 * @param {string} name
 * @returns {string | null} its type, if a browser can show it safely
 */
export function safeType(name) {
  const extension = extensionOf(name);
  return Object.hasOwn(SAFE_TYPES, extension) ? SAFE_TYPES[extension] : null;
}

/**
 * @param {SavedFile} saved
 * @returns {Promise<string | null>} a URL for a new tab; null: the file is of another type, an archive, or not held by this
 *   page, or this browser does not show it
 */
export async function urlToOpen({ name, blob, members }) {
  const type = safeType(name);
  if (!blob || !type || members) return null;
  const typed = blob.slice(0, blob.size, type);
  return (await isShown(typed)) ? URL.createObjectURL(typed) : null;
}

/**
 * A browser downloads what it does not show, so Open would bring the file a second time.
 *
 * @param {Blob} blob of a safe type
 */
async function isShown(blob) {
  const { type } = blob;
  if (type === "application/pdf") return navigator.pdfViewerEnabled;
  if (/^(audio|video)\//.test(type)) return document.createElement("video").canPlayType(type) !== "";
  if (!/^image\/hei[cf]$/.test(type)) return true;
  // Only WebKit decodes photos of iPhones.
  return createImageBitmap(blob).then((bitmap) => (bitmap.close(), true), () => false);
}

/**
 * @param {SavedFile} saved
 * @returns {File[]} for the share sheet: the files of an archive one by one, so that photos can go to the photo library
 */
export function filesToShare({ name, blob, members }) {
  if (!blob) return [];
  const files = members?.filter(({ entry }) => !entry.isFolder) ?? [];
  if (files.length === 0 || files.length > MAX_SHARED) return [toFile(blob, name)];
  return files.map(({ entry, blob }) => toFile(blob, entry.path[entry.path.length - 1]));
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function toFile(blob, name) {
  return new File([blob], name, { type: safeType(name) ?? "application/octet-stream" });
}
