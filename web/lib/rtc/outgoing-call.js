/** One `peer.connect()` under way: from asking a peer for an offer to an open connection. */

import { onAbort } from "../util/abort.js";
import { PeerError } from "../util/errors.js";

/** How many candidates of an offer that is still on its way are kept. */
const EARLY_LIMIT = 64;

/** @typedef {import("./connection.js").Connection} Connection */

/**
 * @typedef {object} CallOptions
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} timeout ms
 * @property {AbortSignal} [signal]
 * @property {() => void} ended called once, whatever came of it
 */

export class Call {
  /** Whether the broker has not said yet that the peer has heard of it. */
  isRinging = false;
  /** Those whose offers were answered; the last one counts. */
  #attempts = /** @type {string[]} */ ([]);
  /** @type {Array<{attempt: string, payload: any}>} candidates whose offer is on its way */
  #early = [];
  /** @type {Connection | null} the one that was made for this call */
  #connection = null;
  /** Whether the other side calls, too, and wants the same connection. */
  #shared = false;
  #peerId;
  /** @type {(connection: Connection) => void} */
  #resolve = () => {};
  /** @type {(error: PeerError) => void} */
  #reject = () => {};
  #settle;

  /**
   * @param {string} peerId
   * @param {CallOptions} options
   */
  constructor(peerId, { clock, timeout, signal, ended }) {
    this.#peerId = peerId;
    this.timeout = timeout;
    /** @type {Promise<Connection>} */
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const timer = clock.setTimeout(() => this.#expire(), timeout);
    let unlisten = () => {};
    this.#settle = () => {
      clock.clearTimeout(timer);
      unlisten();
      ended();
    };
    unlisten = onAbort(signal, () => this.reject(new PeerError("aborted", `call to ${peerId} was given up`)));
  }

  /** @returns {boolean} whether an offer is being answered, and may yet become the connection */
  get isAnswering() {
    return this.#connection !== null;
  }

  /** @returns {boolean} whether the other side calls, and counts on the offer that is being answered */
  get isShared() {
    return this.#shared && this.isAnswering;
  }

  share() {
    this.#shared = true;
  }

  /** What was being answered leads nowhere: another attempt is made, and may become the connection. */
  release() {
    this.#connection = null;
  }

  /**
   * @param {string} attempt
   * @returns {boolean} whether its offer was answered before
   */
  knows(attempt) {
    return this.#attempts.includes(attempt);
  }

  /**
   * A candidate came before its offer.
   *
   * @param {any} payload
   */
  keep(payload) {
    if (this.#early.length < EARLY_LIMIT) this.#early.push({ attempt: payload.attempt, payload });
  }

  /**
   * @param {Connection} connection for the offer that came
   * @returns {any[]} the candidates that came before it
   */
  adopt(connection) {
    this.#connection = connection;
    this.#attempts.push(connection.attempt);
    return this.#early.filter(({ attempt }) => attempt === connection.attempt).map(({ payload }) => payload);
  }

  /** @param {Connection} connection open, whoever of the two has offered it */
  resolve(connection) {
    this.#settle();
    this.#resolve(connection);
  }

  /** @param {PeerError} error */
  reject(error) {
    this.#settle();
    this.#reject(error);
    // What the other side called for goes on without this call.
    if (!this.#shared && !this.#connection?.isOpen) this.#connection?.close(error);
  }

  #expire() {
    // The connection knows best what it lacked, and its end is this call's.
    if (this.#connection) this.#connection.expire();
    else this.reject(new PeerError("silent", `${this.#peerId} did not answer the call`));
  }
}
