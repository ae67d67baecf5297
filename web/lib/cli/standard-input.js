/** Standard input as a file to share. Receivers ask for any piece at any time, so it is kept on disk until the command ends. */

import { randomUUID } from "node:crypto";
import { open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MAX_TEXT_BYTES } from "../share/protocol.js";
import { readRange } from "./local-files.js";
import { CliError, USAGE_ERROR } from "./messages.js";

/**
 * @param {string} name of the file
 * @param {AsyncIterable<Uint8Array>} [input]
 * @returns {Promise<import("./local-files.js").LocalFile>} once the input has ended
 * @throws {CliError} there is no room for it
 */
export async function readInput(name, input = process.stdin) {
  const folder = tmpdir();
  const location = join(folder, `handclasp-${randomUUID()}`);
  try {
    const handle = await open(location, "wx+", 0o600);
    await unlink(location); // its data exists as long as it is open
    for await (const chunk of input) await handle.appendFile(chunk);
    const { size } = await handle.stat();
    const slice = (start = 0, end = size) => /** @type {Blob} */ ({ arrayBuffer: () => readRange(handle, start, end) });
    return { file: { name, size, slice }, path: [name] };
  } catch (error) {
    throw new CliError(`Cannot keep standard input in ${folder} (${/** @type {Error} */ (error).message}). Set TMPDIR to a folder with more room.`);
  }
}

/**
 * @param {AsyncIterable<Uint8Array>} [input]
 * @returns {Promise<string>} once the input has ended, or is longer than a text may be
 * @throws {CliError} it is not UTF-8
 */
export async function readText(input = process.stdin) {
  const chunks = [];
  let length = 0;
  for await (const chunk of input) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_TEXT_BYTES) break;
  }
  try {
    const isWhole = length <= MAX_TEXT_BYTES; // otherwise the last character may be cut
    return new TextDecoder("utf-8", { fatal: isWhole, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new CliError("Standard input is not a text in UTF-8: share it as a file (-).", USAGE_ERROR);
  }
}
