/** A `peer.connect()` under way: from the request for an offer to an open connection. */

import { onAbort } from "../util/abort.js";
import { PeerError } from "./errors.js";

/** How many candidates that arrived before their offer are kept. */
const EARLY_CANDIDATES_LIMIT = 64;

/** @typedef {import("./connection.js").Connection} Connection */

/**
 * @typedef {object} OutgoingCallOptions
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} timeout ms
 * @property {AbortSignal} [signal]
 * @property {() => void} onSettled called once, after success and failure
 */

export class OutgoingCall {
  /** Whether the broker has not confirmed yet that it delivered the request. */
  isRequestPending = false;
  /** The attempts whose offers were answered; the last one counts. */
  #attempts = /** @type {string[]} */ ([]);
  /** @type {any[]} payloads of candidates that arrived before their offer */
  #earlyCandidates = [];
  /** @type {Connection | null} the connection that answers the offer */
  #connection = null;
  /** Whether the peer is calling too, and wants the same connection. */
  #isMutual = false;
  #peerId;
  /** @type {(connection: Connection) => void} */
  #resolve = () => {};
  /** @type {(error: PeerError) => void} */
  #reject = () => {};
  #settle;

  /**
   * @param {string} peerId
   * @param {OutgoingCallOptions} options
   */
  constructor(peerId, { clock, timeout, signal, onSettled }) {
    this.#peerId = peerId;
    this.timeout = timeout;
    /** @type {Promise<Connection>} */
    this.connected = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const timer = clock.setTimeout(() => this.#expire(), timeout);
    let removeListener = () => {};
    this.#settle = () => {
      clock.clearTimeout(timer);
      removeListener();
      onSettled();
    };
    removeListener = onAbort(signal, () => this.reject(new PeerError("aborted", `call to ${peerId} was aborted`)));
  }

  /** @returns {boolean} whether an offer is being answered and may become the connection */
  get isAnswering() {
    return this.#connection !== null;
  }

  /** @returns {boolean} whether the peer is calling too, and relies on the offer that is being answered */
  get isMutual() {
    return this.#isMutual && this.isAnswering;
  }

  markMutual() {
    this.#isMutual = true;
  }

  /** The attempt failed: another one is made and may become the connection. */
  detach() {
    this.#connection = null;
  }

  /**
   * @param {string} attempt
   * @returns {boolean} whether its offer was answered before
   */
  hasAnswered(attempt) {
    return this.#attempts.includes(attempt);
  }

  /**
   * Keeps a candidate that arrived before its offer.
   *
   * @param {any} payload
   */
  addEarlyCandidate(payload) {
    if (this.#earlyCandidates.length < EARLY_CANDIDATES_LIMIT) this.#earlyCandidates.push(payload);
  }

  /**
   * @param {Connection} connection answers the offer
   * @returns {any[]} the candidates that arrived before the offer
   */
  attach(connection) {
    this.#connection = connection;
    this.#attempts.push(connection.attempt);
    return this.#earlyCandidates.filter(({ attempt }) => attempt === connection.attempt);
  }

  /** @param {Connection} connection open; either side may have made its offer */
  resolve(connection) {
    this.#settle();
    this.#resolve(connection);
  }

  /** @param {PeerError} error */
  reject(error) {
    this.#settle();
    this.#reject(error);
    // The peer's own call goes on without this one.
    if (!this.#isMutual && !this.#connection?.isOpen) this.#connection?.close(error);
  }

  #expire() {
    // The connection knows why it did not open, and closing it rejects this call.
    if (this.#connection) this.#connection.expire();
    else this.reject(new PeerError("silent", `${this.#peerId} did not answer the call`));
  }
}
