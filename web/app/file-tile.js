/** The picture of a file in a list: an icon of its kind, in whose place its preview may come. */

import { createSvg } from "./dom.js";
import { fileKind } from "./file-kind.js";

/** @typedef {import("./file-kind.js").FileKind} FileKind */

const SHEET = "M7 3h7l5 5v12a1 1 0 0 1-1 1H7a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zM14 3v5h5";

/** @type {Record<FileKind, string>} in a square of 24 */
const ICONS = {
  folder: "M3.5 6.5a1 1 0 0 1 1-1h5l2 2.5h8a1 1 0 0 1 1 1v9.5a1 1 0 0 1-1 1h-15a1 1 0 0 1-1-1z",
  image: "M4 5h16v14H4zM4 16l4.5-4.5 4 4L15 13l5 4.5M15.5 9.2v.1",
  video: "M4 6h16v12H4zM10.2 9.4v5.2l4.4-2.6z",
  audio: "M9 17.5V6l10-2v11.5M9 17.5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM19 15.5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z",
  archive: "M4 5h16v4H4zM5 9v10h14V9M10 12.5h4",
  document: `${SHEET}M9.5 12.5h5.5M9.5 16h5.5`,
  code: `${SHEET}M10.5 12l-2 2.5 2 2.5M14 12l2 2.5-2 2.5`,
  other: SHEET,
};

/**
 * @param {import("../lib/share/file-entry.js").FileEntry | null} entry null: a folder with files in it
 * @returns {HTMLElement}
 */
export function createTile(entry) {
  const tile = document.createElement("span");
  const kind = entry ? fileKind(entry) : "folder";
  tile.className = `tile ${kind}`;
  tile.append(createIcon(ICONS[kind]));
  return tile;
}

/**
 * @param {string} path in a square of 24
 * @returns {SVGElement}
 */
export function createIcon(path) {
  const svg = createSvg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
  svg.append(createSvg("path", { d: path }));
  return svg;
}
