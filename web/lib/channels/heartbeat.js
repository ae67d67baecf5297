/** Detects a dead server behind a connection that still looks open. */

/** How long the answer to a probe may take (ms). */
const PROBE_TIMEOUT = 5_000;

/**
 * @typedef {object} HeartbeatOptions
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} interval ms between two heartbeats, and the time that an answer may take
 * @property {(onReply: () => void) => void} send
 * @property {() => void} onAnswer the newest heartbeat was answered
 * @property {() => void} onTimeout the newest heartbeat was not answered
 */

export class Heartbeat {
  #clock;
  #interval;
  #send;
  #onAnswer;
  #onTimeout;
  #timer = /** @type {any} */ (undefined);
  /** The newest heartbeat, until it is answered. */
  #pending = /** @type {object | null} */ (null);

  /** @param {HeartbeatOptions} options */
  constructor({ clock, interval, send, onAnswer, onTimeout }) {
    this.#clock = clock;
    this.#interval = interval;
    this.#send = send;
    this.#onAnswer = onAnswer;
    this.#onTimeout = onTimeout;
  }

  start() {
    this.#schedule(this.#interval);
  }

  stop() {
    this.#clock.clearTimeout(this.#timer);
    this.#pending = null;
  }

  /**
   * Tests now, and with a short timeout, a connection that may have died without a close event. The answer to
   * an older heartbeat does not count: it may have arrived before the connection died.
   */
  probe() {
    this.#beat();
    this.#schedule(Math.min(this.#interval, PROBE_TIMEOUT));
  }

  #tick = () => {
    if (this.#pending) return this.#onTimeout();
    this.#beat();
    this.#schedule(this.#interval);
  };

  #beat() {
    const beat = {};
    this.#pending = beat;
    this.#send(() => {
      if (this.#pending !== beat) return;
      this.#pending = null;
      // Scheduled by the reply and not by the previous timer: in hidden pages browsers slow chained
      // timers down to one a minute, and the server would time this client out.
      this.#schedule(this.#interval);
      this.#onAnswer();
    });
  }

  /** @param {number} ms */
  #schedule(ms) {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(this.#tick, ms);
  }
}
