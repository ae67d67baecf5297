/**
 * Exponential backoff with jitter: the delay doubles up to a maximum, and a random part spreads the
 * clients of a restarted server over time.
 */

/** A series of delays. `next()` lengthens it, `reset()` starts it again. */
export class Backoff {
  #attempt = 0;
  #base;
  #max;
  #random;

  /**
   * @param {object} [options]
   * @param {number} [options.base] first delay before jitter, in ms (default 250)
   * @param {number} [options.max] longest delay before jitter, in ms (default 15 000)
   * @param {() => number} [options.random] a number in [0, 1)
   */
  constructor({ base = 250, max = 15_000, random = Math.random } = {}) {
    this.#base = base;
    this.#max = max;
    this.#random = random;
  }

  /** @returns {number} ms to wait, between half of `min(max, base * 2^n)` and all of it */
  next() {
    const delay = Math.min(this.#max, this.#base * 2 ** this.#attempt);
    this.#attempt += 1;
    return Math.round(delay * (0.5 + this.#random() / 2));
  }

  /** Call it after an attempt succeeded. */
  reset() {
    this.#attempt = 0;
  }
}
