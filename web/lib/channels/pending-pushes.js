/**
 * The pushes of one channel that are not settled: those that wait to be sent, and those
 * that wait for an answer. When a push may be sent is channel.js's decision.
 */

import { onAbort } from "../util/abort.js";
import { AbortedError, OverflowError, RefusedError, TimeoutError } from "../util/errors.js";

/**
 * @typedef {object} Pending
 * @property {string} event
 * @property {any} payload
 * @property {string | null} ref once it was sent
 * @property {(response: any) => void} resolve forgets the push, too
 * @property {(error: Error) => void} reject forgets the push, too
 */

/**
 * @typedef {object} PushOptions
 * @property {number} timeout ms, waiting to be sent included
 * @property {AbortSignal} [signal]
 */

/** Every push that was `made` is settled exactly once, at the latest by its timeout. */
export class Pushes {
  #topic;
  #clock;
  #limit;
  /** @type {Set<Pending>} */
  #unsent = new Set();
  /** @type {Map<string, Pending>} by ref */
  #unanswered = new Map();

  /**
   * @param {string} topic for the words of errors
   * @param {import("../util/clock.js").Clock} clock
   * @param {number} limit how many may wait to be sent
   */
  constructor(topic, clock, limit) {
    this.#topic = topic;
    this.#clock = clock;
    this.#limit = limit;
  }

  /**
   * @param {string} event
   * @param {any} payload
   * @param {PushOptions} options
   * @param {(pending: Pending) => void} go sends it (`sent`) or keeps it (`keep`)
   * @returns {Promise<any>}
   */
  make(event, payload, { timeout, signal }, go) {
    return new Promise((resolve, reject) => {
      const what = `${event} on ${this.#topic}`;
      const timer = this.#clock.setTimeout(() => pending.reject(new TimeoutError(what, timeout)), timeout);
      const forget = () => {
        this.#clock.clearTimeout(timer);
        settled();
        this.#unsent.delete(pending);
        if (pending.ref !== null) this.#unanswered.delete(pending.ref);
      };
      /** @type {Pending} */
      const pending = {
        event,
        payload,
        ref: null,
        resolve: (response) => (forget(), resolve(response)),
        reject: (error) => (forget(), reject(error)),
      };
      let settled = () => {};
      if (signal?.aborted) return pending.reject(new AbortedError(what));
      settled = onAbort(signal, () => pending.reject(new AbortedError(what)));
      try {
        go(pending);
      } catch (error) {
        pending.reject(/** @type {Error} */ (error));
      }
    });
  }

  /**
   * @param {Pending} pending waits to be sent from now on
   * @throws {OverflowError}
   */
  keep(pending) {
    if (this.#unsent.size >= this.#limit) {
      throw new OverflowError(`channel ${this.#topic} keeps ${this.#limit} unsent pushes, the limit`);
    }
    this.#unsent.add(pending);
  }

  /** @returns {Pending[]} what waited to be sent; it is the caller's now */
  takeUnsent() {
    const waiting = [...this.#unsent];
    this.#unsent.clear();
    return waiting;
  }

  /**
   * @param {string} ref
   * @param {Pending} pending waits for the answer to `ref` from now on
   */
  sent(ref, pending) {
    pending.ref = ref;
    this.#unanswered.set(ref, pending);
  }

  /**
   * @param {string | null} ref
   * @param {{status: string, response: any}} reply
   */
  answered(ref, { status, response }) {
    const pending = ref === null ? undefined : this.#unanswered.get(ref);
    if (status === "ok") pending?.resolve(response);
    else pending?.reject(new RefusedError(`${pending.event} on ${this.#topic}`, response));
  }

  /** @returns {Pending[]} what was sent and will not be answered; it is the caller's now */
  takeUnanswered() {
    const lost = [...this.#unanswered.values()];
    this.#unanswered.clear();
    return lost;
  }
}
