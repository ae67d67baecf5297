/** Giving up by AbortSignal, for every promise of the library that may take long. */

import { AbortedError } from "./errors.js";

/**
 * @param {AbortSignal | undefined} signal
 * @param {() => void} giveUp called once, and at once if the signal has been given already
 * @returns {() => void} call it when there is nothing left to give up
 */
export function onAbort(signal, giveUp) {
  if (!signal) return () => {};
  if (signal.aborted) {
    giveUp();
    return () => {};
  }
  signal.addEventListener("abort", giveUp, { once: true });
  return () => signal.removeEventListener("abort", giveUp);
}

/**
 * For work that others wait for too: only this waiting ends with the signal.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal | undefined} signal
 * @param {string} what
 * @returns {Promise<T>}
 * @throws {AbortedError}
 */
export function unlessAborted(promise, signal, what) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const settled = onAbort(signal, () => reject(new AbortedError(what)));
    promise.then(resolve, reject).finally(settled);
  });
}
