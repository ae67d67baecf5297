/** One file for the user: a single file as it is, several files as a ZIP archive. */

import { crc32 } from "../../util/crc32.js";
import { centralDirectory, dataDescriptor, localFileHeader } from "./zip.js";

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */

const CRC_CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * The archive refers to the blobs and does not copy them.
 *
 * @param {Array<{entry: FileEntry, blob: Blob, crc?: number}>} files crc: computed here if it is not given
 * @returns {Promise<import("../download-target.js").SavedFile[]>}
 */
export async function bundleFiles(files) {
  const entries = files.map(({ entry }) => entry);
  const name = bundleName(entries);
  if (isSingleFile(entries)) return [{ name, blob: files[0].blob }];
  /** @type {BlobPart[]} */
  const parts = [];
  const members = [];
  for (const { entry, blob, crc } of files) {
    const member = { path: entry.path, size: blob.size, isFolder: entry.isFolder, crc: crc ?? (await blobCrc32(blob)) };
    parts.push(localFileHeader(member), blob, dataDescriptor(member));
    members.push(member);
  }
  const blob = new Blob([...parts, centralDirectory(members)], { type: "application/zip" });
  return [{ name, blob, members: files.map(({ entry, blob }) => ({ entry, blob })) }];
}

/**
 * @param {FileEntry[]} entries
 * @returns {boolean} whether it is one file without a folder, which needs no archive
 */
export function isSingleFile(entries) {
  return entries.length === 1 && entries[0].path.length === 1 && !entries[0].isFolder;
}

/**
 * @param {FileEntry[]} entries
 * @returns {string} the name of the single file, or of the archive
 */
export function bundleName(entries) {
  const [{ path }] = entries;
  if (isSingleFile(entries)) return path[0];
  const haveCommonFolder = path.length > 1 && entries.every((entry) => entry.path[0] === path[0]);
  return `${haveCommonFolder ? path[0] : "handclasp"}.zip`;
}

/** @param {Blob} blob */
async function blobCrc32(blob) {
  let crc = 0;
  for (let at = 0; at < blob.size; at += CRC_CHUNK_BYTES) {
    crc = crc32(new Uint8Array(await blob.slice(at, at + CRC_CHUNK_BYTES).arrayBuffer()), crc);
  }
  return crc;
}
