/**
 * One topic, joined over a socket: join, push, replies, and staying joined. The
 * connection itself is the socket's; what the events mean is the application's.
 */

import { onAbort, unlessAborted } from "../util/abort.js";
import { Backoff } from "../util/backoff.js";
import { deferred } from "../util/deferred.js";
import { Emitter } from "../util/emitter.js";
import { AbortedError, ClosedError, DisconnectedError, RefusedError, TimeoutError } from "../util/errors.js";
import { Pushes } from "./pending-pushes.js";

/** @typedef {"closed" | "joining" | "joined" | "errored"} ChannelState */

/**
 * Made by `socket.channel(topic, params)`.
 *
 * Life: `closed` -> `joining` -> `joined`, and back to `closed` by `leave()`, by the
 * server's `phx_close`, or when the *first* join is refused or unanswered. Once joined
 * it stays so: after a lost connection or a `phx_error` it is `errored` and joins again.
 */
export class Channel {
  /** @type {Emitter<Record<string, [any]>>} */
  #events = new Emitter();
  /** @type {Emitter<{state: [ChannelState, any]}>} */
  #lifecycle = new Emitter();
  #socket;
  #params;
  #backoff;
  /** @type {ChannelState} */
  #state = "closed";
  /** Null between two joins, so that whatever still arrives for the old one is stale. */
  #joinRef = /** @type {string | null} */ (null);
  #pushes;
  /** @type {import("../util/deferred.js").Deferred<any> | null} */
  #firstJoin = null;
  #wasJoined = false;
  /** Of the join under way or of the next one. */
  #timer = /** @type {any} */ (undefined);

  /**
   * @param {import("./socket.js").Socket} socket
   * @param {string} topic
   * @param {object | (() => object)} params
   */
  constructor(socket, topic, params) {
    this.#socket = socket;
    this.topic = topic;
    this.#params = params;
    this.#pushes = new Pushes(topic, socket.clock, socket.bufferLimit);
    this.#backoff = new Backoff({ base: 1_000, max: 10_000, random: socket.random });
  }

  /** @returns {ChannelState} */
  get state() {
    return this.#state;
  }

  /**
   * Joins the topic, connecting the socket first if need be. Calling it while joined or
   * joining gives the same promise.
   *
   * @param {object} [options]
   * @param {number} [options.timeout] ms, connecting included (default: the socket's)
   * @param {AbortSignal} [options.signal] gives the join up; if another call began it, only this call's waiting
   * @returns {Promise<any>} the server's answer to the first join
   * @throws {RefusedError | TimeoutError | ClosedError | AbortedError} the channel is then
   *   closed, and `join()` may be called again
   * @throws {Error} at once, when another channel of this socket lives on the same topic
   */
  join({ timeout = this.#socket.timeout, signal } = {}) {
    const what = `join of ${this.topic}`;
    if (this.#firstJoin) return unlessAborted(this.#firstJoin.promise, signal, what);
    if (signal?.aborted) return Promise.reject(new AbortedError(what));
    this.#socket.add(this);
    const first = deferred();
    this.#firstJoin = first;
    const timer = this.#socket.clock.setTimeout(() => this.#giveUp(new TimeoutError(what, timeout)), timeout);
    const unlisten = onAbort(signal, () => this.#giveUp(new AbortedError(what)));
    const settled = () => (this.#socket.clock.clearTimeout(timer), unlisten());
    first.promise.then(settled, settled);
    this.#enter("errored", null);
    if (this.#socket.state === "open") this.#sendJoin();
    else this.#socket.connect();
    return first.promise;
  }

  /**
   * Sends an event and waits for the server's answer. While the channel is on its way
   * back it is kept, at most the socket's `bufferLimit` of them.
   *
   * @param {string} event
   * @param {any} [payload] JSON, or an `ArrayBuffer` (at most 255 bytes of event name then)
   * @param {object} [options]
   * @param {number} [options.timeout] ms, waiting to be sent included (default: the socket's)
   * @param {AbortSignal} [options.signal] what is not sent yet never will be
   * @returns {Promise<any>} the `response` of the reply
   * @throws {RefusedError | TimeoutError | DisconnectedError | ClosedError | AbortedError |
   *   import("../util/errors.js").OverflowError | TypeError} `TypeError`: it is no JSON; after `DisconnectedError`, `TimeoutError` and
   *   `AbortedError` it is unknown whether the push arrived
   */
  push(event, payload = {}, { timeout = this.#socket.timeout, signal } = {}) {
    return this.#pushes.make(event, payload, { timeout, signal }, (pending) => {
      if (this.#state === "closed") throw new ClosedError(`channel ${this.topic} is not joined`);
      if (this.#state === "joined") this.#sendPush(pending);
      else this.#pushes.keep(pending);
    });
  }

  /**
   * @param {string} event
   * @param {(payload: any) => void} listener
   * @returns {() => void} call it to stop listening
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  /**
   * Follows the channel's life. The detail of `joined` is the join's response; of the others, an error or null.
   *
   * @param {(state: ChannelState, detail: any) => void} listener
   * @returns {() => void} call it to stop listening
   */
  onState(listener) {
    return this.#lifecycle.on("state", listener);
  }

  /**
   * Leaves the topic at once: nothing is heard any more, and it may be joined again.
   *
   * @param {object} [options]
   * @param {number} [options.timeout] ms (default: the socket's)
   * @param {AbortSignal} [options.signal] ends the waiting alone
   * @returns {Promise<void>} when the server knows, or is gone and so has forgotten; it may be let go of
   * @throws {TimeoutError | AbortedError}
   */
  leave({ timeout = this.#socket.timeout, signal } = {}) {
    if (this.#state === "closed") return Promise.resolve();
    const ref = this.#sendLeave();
    const left = this.#pushes.make("phx_leave", {}, { timeout, signal }, ({ resolve }) => {
      if (ref === null) resolve(undefined);
      else this.#socket.onAnswer(ref, () => resolve(undefined));
    });
    left.catch(() => {}); // who does not wait for it has left all the same
    this.#close(new ClosedError(`channel ${this.topic} was left`));
    return left;
  }

  /** For the socket: the connection is open. */
  socketOpened() {
    if (this.#state === "errored") this.#sendJoin();
  }

  /** For the socket: the connection is gone. */
  socketClosed() {
    if (this.#state === "closed") return;
    this.#fail(new DisconnectedError(`connection lost while on ${this.topic}`));
  }

  /**
   * For the socket: a message on this topic arrived.
   *
   * @param {import("./codec.js").Message} message
   */
  receive({ joinRef, ref, event, payload }) {
    if (joinRef !== null && joinRef !== this.#joinRef) return;
    if (event === "phx_reply") this.#answered(ref, payload);
    else if (event === "phx_error") this.#crashed();
    else if (event === "phx_close") this.#close(new ClosedError(`server closed ${this.topic}`));
    else this.#events.emit(event, payload);
  }

  #sendJoin() {
    const { clock, timeout } = this.#socket;
    clock.clearTimeout(this.#timer);
    const ref = this.#socket.nextRef();
    this.#joinRef = ref;
    this.#timer = clock.setTimeout(() => this.#joinUnanswered(timeout), timeout);
    this.#enter("joining", null);
    try {
      const payload = typeof this.#params === "function" ? this.#params() : this.#params;
      this.#socket.send({ joinRef: ref, ref, topic: this.topic, event: "phx_join", payload });
    } catch (error) {
      this.#close(/** @type {Error} */ (error)); // the caller's own params: no later try would do better
    }
  }

  /** @param {Error} error */
  #giveUp(error) {
    this.#sendLeave();
    this.#close(error);
  }

  /** @param {number} timeout */
  #joinUnanswered(timeout) {
    // The server may still answer; it has to know that this join is given up.
    this.#sendLeave();
    this.#fail(new TimeoutError(`join of ${this.topic}`, timeout));
    this.#rejoinLater();
  }

  /** @returns {string | null} its ref; null when there is nobody to be told */
  #sendLeave() {
    if (this.#joinRef === null) return null;
    const ref = this.#socket.nextRef();
    const sent = this.#socket.send({ joinRef: this.#joinRef, ref, topic: this.topic, event: "phx_leave", payload: {} });
    return sent ? ref : null;
  }

  /** @param {import("./pending-pushes.js").Pending} pending */
  #sendPush(pending) {
    const ref = this.#socket.nextRef();
    const { event, payload } = pending;
    this.#pushes.sent(ref, pending);
    try {
      this.#socket.send({ joinRef: this.#joinRef, ref, topic: this.topic, event, payload });
    } catch (error) {
      pending.reject(/** @type {Error} */ (error)); // it cannot be written down; the others can
    }
  }

  /**
   * @param {string | null} ref
   * @param {{status: string, response: any}} reply
   */
  #answered(ref, { status, response }) {
    if (this.#state === "joining" && ref === this.#joinRef) {
      if (status === "ok") this.#joined(response);
      else this.#refused(response);
      return;
    }
    this.#pushes.answered(ref, { status, response });
  }

  /** @param {any} response */
  #joined(response) {
    this.#socket.clock.clearTimeout(this.#timer);
    this.#backoff.reset();
    this.#wasJoined = true;
    // Before the listeners hear of it: what they push must not overtake what waited.
    for (const pending of this.#pushes.takeUnsent()) this.#sendPush(pending);
    this.#enter("joined", response);
    this.#firstJoin?.resolve(response);
  }

  /** @param {any} response */
  #refused(response) {
    const error = new RefusedError(`join of ${this.topic}`, response);
    if (!this.#wasJoined) return this.#close(error);
    this.#fail(error);
    this.#rejoinLater();
  }

  #crashed() {
    this.#fail(new DisconnectedError(`server's channel for ${this.topic} crashed`));
    this.#rejoinLater();
  }

  #rejoinLater() {
    const retry = () => this.#socket.state === "open" && this.#sendJoin();
    this.#timer = this.#socket.clock.setTimeout(retry, this.#backoff.next());
  }

  /**
   * Whatever was sent is lost or unanswerable; whatever was not sent yet may wait.
   *
   * @param {Error} error
   */
  #fail(error) {
    this.#socket.clock.clearTimeout(this.#timer);
    this.#joinRef = null;
    const lost = this.#pushes.takeUnanswered();
    this.#enter("errored", error);
    for (const pending of lost) pending.reject(error);
  }

  /** @param {Error} error */
  #close(error) {
    const waiting = [...this.#pushes.takeUnanswered(), ...this.#pushes.takeUnsent()];
    const firstJoin = this.#firstJoin;
    this.#firstJoin = null;
    this.#joinRef = null;
    this.#wasJoined = false;
    this.#socket.clock.clearTimeout(this.#timer);
    this.#socket.remove(this);
    this.#enter("closed", error);
    for (const pending of waiting) pending.reject(error);
    firstJoin?.reject(error);
  }

  /**
   * @param {ChannelState} state
   * @param {any} detail
   */
  #enter(state, detail) {
    this.#state = state;
    this.#lifecycle.emit("state", state, detail);
  }
}
