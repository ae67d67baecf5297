/** Reads a ZIP archive with an independent library, which checks all sizes and CRCs. */

import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";
import assert from "node:assert/strict";
import yauzl from "yauzl";

/**
 * @param {Buffer} zip
 * @returns {Promise<Map<string, Buffer>>} files by their paths, in the zip's order
 */
export async function unzip(zip) {
  const archive = await promisify(yauzl.fromBuffer)(zip, { lazyEntries: true, strictFileNames: true });
  const files = new Map();
  return new Promise((resolve, reject) => {
    archive.on("error", reject);
    archive.on("end", () => resolve(files));
    archive.on("entry", async (entry) => {
      try {
        const bytes = await buffer(await promisify(archive.openReadStream.bind(archive))(entry));
        assert.equal(crc32(bytes), entry.crc32, entry.fileName);
        files.set(entry.fileName, bytes);
        archive.readEntry();
      } catch (error) {
        reject(error);
      }
    });
    archive.readEntry();
  });
}
