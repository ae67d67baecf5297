/** How often and until when a share admits receivers. It only decides: file-share.js acts. */

/** @typedef {"used" | "expired"} CloseCause why a share admits nobody any more */

/** Timers of browsers overflow after 24 days, and a suspended device stops them: time is read at least this often (ms). */
const MAX_WAIT = 3_600_000;

export class ShareLimits {
  #clock;
  #onExpired;
  #once = false;
  #isUsed = false;
  #expiresAt = /** @type {Date | null} */ (null);
  /** By the monotonic clock, so that setting the device's time back extends nothing. */
  #deadline = 0;
  /** Stays, whatever the device's time is set to afterwards. */
  #isExpired = false;
  /** @type {any} */
  #timer = null;

  /**
   * @param {import("../util/clock.js").Clock} clock
   * @param {() => void} onExpired
   */
  constructor(clock, onExpired) {
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  /** @returns {CloseCause | null} */
  get closed() {
    if (this.#once && this.#isUsed) return "used";
    return this.#hasExpired() ? "expired" : null;
  }

  get once() {
    return this.#once;
  }

  /** Downloads that were complete before a change do not count. */
  set once(once) {
    if (once !== this.#once) this.#isUsed = false;
    this.#once = once;
  }

  get expiresAt() {
    return this.#expiresAt;
  }

  set expiresAt(expiresAt) {
    const left = expiresAt ? expiresAt.getTime() - Date.now() : 0;
    if (Number.isNaN(left)) throw new RangeError("expiresAt is not a valid date");
    this.#expiresAt = expiresAt;
    this.#deadline = this.#clock.now() + left;
    this.#isExpired = false;
    this.#setTimer();
  }

  /** One receiver has all that it chose. */
  use() {
    this.#isUsed = true;
  }

  stop() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  #hasExpired() {
    this.#isExpired ||= this.#left() <= 0;
    return this.#isExpired;
  }

  /** The time of the device also passes while it is suspended, and the monotonic clock may not. */
  #left() {
    if (!this.#expiresAt) return Infinity;
    return Math.min(this.#expiresAt.getTime() - Date.now(), this.#deadline - this.#clock.now());
  }

  #setTimer() {
    this.stop();
    if (!this.#expiresAt) return;
    const wait = Math.min(Math.max(0, this.#left()), MAX_WAIT);
    this.#timer = this.#clock.setTimeout(() => (this.#hasExpired() ? this.#onExpired() : this.#setTimer()), wait);
  }
}
