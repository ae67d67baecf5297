/** A promise together with the functions that settle it. */

/**
 * @template T
 * @typedef {object} Deferred
 * @property {Promise<T>} promise its rejection may go unhandled
 * @property {(value: T) => void} resolve
 * @property {(error: Error) => void} reject
 */

/**
 * @template T
 * @returns {Deferred<T>}
 */
export function deferred() {
  /** @type {(value: T) => void} */
  let resolve = () => {};
  /** @type {(error: Error) => void} */
  let reject = () => {};
  const promise = /** @type {Promise<T>} */ (
    new Promise((onResolve, onReject) => {
      resolve = onResolve;
      reject = onReject;
    })
  );
  promise.catch(() => {}); // a caller that does not wait for it learns of the failure from an event
  return { promise, resolve, reject };
}
