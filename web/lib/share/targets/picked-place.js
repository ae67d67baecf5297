/** Writing to a file or folder that the user has picked, and its errors. */

import { TransferError } from "../errors.js";

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 * @throws {TransferError} `place`
 */
export async function writeToPickedPlace(work) {
  try {
    return await work();
  } catch (cause) {
    throw new TransferError("place", "the picked file or folder cannot be written", { cause });
  }
}

/**
 * @param {FileSystemWritableFileStream} stream of a picked file, or of a file in a picked folder
 * @returns {import("../download-target.js").FileSink["write"]}
 */
export function writerTo(stream) {
  return async (at, bytes) => {
    await writeToPickedPlace(() => stream.write({ type: "write", position: at, data: bytes }));
    return bytes;
  };
}
