/** Notices that the server at the other end of an open connection has died without a word. */

/** How long it may take to answer after the network has changed (ms). */
const DOUBT = 5_000;

/**
 * @typedef {object} HeartbeatOptions
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} interval ms between two; also how long an answer may take
 * @property {(answered: () => void) => void} ask
 * @property {() => void} dead the last one was not answered
 */

export class Heartbeat {
  #clock;
  #interval;
  #ask;
  #dead;
  #timer = /** @type {any} */ (undefined);
  /** Whether one is unanswered. */
  #asked = false;

  /** @param {HeartbeatOptions} options */
  constructor({ clock, interval, ask, dead }) {
    this.#clock = clock;
    this.#interval = interval;
    this.#ask = ask;
    this.#dead = dead;
  }

  start() {
    this.#asked = false;
    this.#next(this.#interval);
  }

  stop() {
    this.#clock.clearTimeout(this.#timer);
  }

  /** A connection made over the old network is often dead, and its end is told by nobody. */
  networkChanged() {
    if (!this.#asked) this.#send();
    this.#next(Math.min(this.#interval, DOUBT));
  }

  #beat = () => {
    if (this.#asked) return this.#dead();
    this.#send();
    this.#next(this.#interval);
  };

  #send() {
    this.#asked = true;
    this.#ask(() => {
      this.#asked = false;
      // Set by a message, not by the timer before: browsers slow down chains of timers in hidden
      // pages to one a minute, after which the server would take us for dead.
      this.#next(this.#interval);
    });
  }

  /** @param {number} ms */
  #next(ms) {
    this.stop();
    this.#timer = this.#clock.setTimeout(this.#beat, ms);
  }
}
