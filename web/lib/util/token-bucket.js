/** Limits how often something may happen: some times at once, then at a steady rate. */

import { systemClock } from "./clock.js";

export class TokenBucket {
  #burst;
  #interval;
  #clock;
  #tokens;
  #refilledAt;

  /**
   * @param {object} options
   * @param {number} options.burst how often at once
   * @param {number} options.interval the time until one more is allowed (ms)
   * @param {import("./clock.js").Clock} [options.clock]
   */
  constructor({ burst, interval, clock = systemClock }) {
    this.#burst = this.#tokens = burst;
    this.#interval = interval;
    this.#clock = clock;
    this.#refilledAt = clock.now();
  }

  /** @returns {boolean} false when it is too often */
  take() {
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#refilledAt) / this.#interval);
    this.#refilledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Gives back what was taken. */
  give() {
    this.#tokens = Math.min(this.#burst, this.#tokens + 1);
  }
}
