/** Standard input as a file to share. Receivers ask for any piece at any time, so it is kept on disk until the command ends. */

import { randomUUID } from "node:crypto";
import { open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRange } from "./local-files.js";
import { CliError } from "./messages.js";

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
