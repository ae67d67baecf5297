/** `AbortSignal` support for every promise of the library that may take long. */

import { AbortedError } from "./errors.js";

/**
 * @param {AbortSignal | undefined} signal
 * @param {() => void} callback called once; immediately if the signal is aborted already
 * @returns {() => void} removes the listener
 */
export function onAbort(signal, callback) {
  if (!signal) return () => {};
  if (signal.aborted) {
    callback();
    return () => {};
  }
  signal.addEventListener("abort", callback, { once: true });
  return () => signal.removeEventListener("abort", callback);
}

/**
 * Rejects when the signal aborts. The work behind `promise` goes on, because others may wait for it too.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal | undefined} signal
 * @param {string} what names the operation in the error
 * @returns {Promise<T>}
 * @throws {AbortedError}
 */
export function abortable(promise, signal, what) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const removeListener = onAbort(signal, () => reject(new AbortedError(what)));
    promise.then(resolve, reject).finally(removeListener);
  });
}
