/**
 * Time as the library sees it, so that a test can bring its own. Nothing else in
 * the library touches timers.
 */

/**
 * @typedef {object} Clock
 * @property {() => number} now milliseconds, never going back
 * @property {(fn: () => void, ms: number) => any} setTimeout
 * @property {(handle: any) => void} clearTimeout
 */

/** @type {Clock} */
export const systemClock = {
  now: () => performance.now(),
  setTimeout: (fn, ms) => globalThis.setTimeout(fn, ms),
  clearTimeout: (handle) => globalThis.clearTimeout(handle),
};
