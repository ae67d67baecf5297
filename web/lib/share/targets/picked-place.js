/** Errors of writing to a file or folder that the user has picked. */

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
