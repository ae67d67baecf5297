/**
 * The unsettled pushes of one channel: those that wait to be sent, and those that wait for a reply.
 * channel.js decides when a push may be sent.
 */

import { onAbort } from "../util/abort.js";
import { AbortedError, TimeoutError } from "../util/errors.js";
import { OverflowError, refusal } from "./errors.js";

/**
 * @typedef {object} PendingPush
 * @property {string} event
 * @property {any} payload
 * @property {string | null} ref null until it is sent
 * @property {(response: any) => void} resolve settles and removes the push
 * @property {(error: Error) => void} reject settles and removes the push
 */

/**
 * @typedef {object} PushOptions
 * @property {number} timeout ms, including the time in the buffer
 * @property {AbortSignal} [signal]
 */

/** Every push settles exactly once, at the latest by its timeout. */
export class PendingPushes {
  #topic;
  #clock;
  #limit;
  /** @type {Set<PendingPush>} */
  #unsent = new Set();
  /** @type {Map<string, PendingPush>} by ref */
  #unanswered = new Map();

  /**
   * @param {string} topic for error messages
   * @param {import("../util/clock.js").Clock} clock
   * @param {number} limit how many pushes may wait to be sent
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
   * @param {(push: PendingPush) => void} dispatch sends the push (`markSent`) or buffers it (`buffer`)
   * @returns {Promise<any>}
   */
  create(event, payload, { timeout, signal }, dispatch) {
    return new Promise((resolve, reject) => {
      const what = `${event} on ${this.#topic}`;
      const timer = this.#clock.setTimeout(() => push.reject(new TimeoutError(what, timeout)), timeout);
      const remove = () => {
        this.#clock.clearTimeout(timer);
        removeListener();
        this.#unsent.delete(push);
        if (push.ref !== null) this.#unanswered.delete(push.ref);
      };
      /** @type {PendingPush} */
      const push = {
        event,
        payload,
        ref: null,
        resolve: (response) => (remove(), resolve(response)),
        reject: (error) => (remove(), reject(error)),
      };
      let removeListener = () => {};
      if (signal?.aborted) return push.reject(new AbortedError(what));
      removeListener = onAbort(signal, () => push.reject(new AbortedError(what)));
      try {
        dispatch(push);
      } catch (error) {
        push.reject(/** @type {Error} */ (error));
      }
    });
  }

  /**
   * @param {PendingPush} push to be sent later
   * @throws {OverflowError}
   */
  buffer(push) {
    if (this.#unsent.size >= this.#limit) {
      throw new OverflowError(`channel ${this.#topic} has ${this.#limit} unsent pushes, the limit`);
    }
    this.#unsent.add(push);
  }

  /** @returns {PendingPush[]} the buffered pushes, which are removed from the buffer */
  takeUnsent() {
    const unsent = [...this.#unsent];
    this.#unsent.clear();
    return unsent;
  }

  /**
   * @param {string} ref
   * @param {PendingPush} push waits for the reply to `ref` from now on
   */
  markSent(ref, push) {
    push.ref = ref;
    this.#unanswered.set(ref, push);
  }

  /**
   * @param {string | null} ref
   * @param {{status: string, response: any}} reply
   */
  settle(ref, { status, response }) {
    const push = ref === null ? undefined : this.#unanswered.get(ref);
    if (status === "ok") push?.resolve(response);
    else push?.reject(refusal(`${push.event} on ${this.#topic}`, response));
  }

  /** @returns {PendingPush[]} pushes that were sent and will not be answered; they are removed */
  takeUnanswered() {
    const unanswered = [...this.#unanswered.values()];
    this.#unanswered.clear();
    return unanswered;
  }
}
