/** A promise that somebody else settles than who made it. */

/**
 * @template T
 * @typedef {object} Deferred
 * @property {Promise<T>} promise its failure may go unheard
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
    new Promise((yes, no) => {
      resolve = yes;
      reject = no;
    })
  );
  promise.catch(() => {}); // who does not wait for it hears by other ways
  return { promise, resolve, reject };
}
