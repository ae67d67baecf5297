/** Detects a dead server behind a connection that still looks open. */

/** How long an answer may take after the network has changed (ms). */
const TIMEOUT_AFTER_NETWORK_CHANGE = 5_000;

/**
 * @typedef {object} HeartbeatOptions
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} interval ms between two heartbeats, and the time that an answer may take
 * @property {(onReply: () => void) => void} send
 * @property {() => void} onTimeout the last heartbeat was not answered
 */

export class Heartbeat {
  #clock;
  #interval;
  #send;
  #onTimeout;
  #timer = /** @type {any} */ (undefined);
  #isPending = false;

  /** @param {HeartbeatOptions} options */
  constructor({ clock, interval, send, onTimeout }) {
    this.#clock = clock;
    this.#interval = interval;
    this.#send = send;
    this.#onTimeout = onTimeout;
  }

  start() {
    this.#isPending = false;
    this.#schedule(this.#interval);
  }

  stop() {
    this.#clock.clearTimeout(this.#timer);
  }

  /** A connection over the previous network is often dead without a close event, so it is tested now. */
  networkChanged() {
    if (!this.#isPending) this.#beat();
    this.#schedule(Math.min(this.#interval, TIMEOUT_AFTER_NETWORK_CHANGE));
  }

  #tick = () => {
    if (this.#isPending) return this.#onTimeout();
    this.#beat();
    this.#schedule(this.#interval);
  };

  #beat() {
    this.#isPending = true;
    this.#send(() => {
      this.#isPending = false;
      // Scheduled by the reply and not by the previous timer: in hidden pages browsers slow chained
      // timers down to one a minute, and the server would time this client out.
      this.#schedule(this.#interval);
    });
  }

  /** @param {number} ms */
  #schedule(ms) {
    this.stop();
    this.#timer = this.#clock.setTimeout(this.#tick, ms);
  }
}
