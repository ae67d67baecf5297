/**
 * A topic that is joined over a socket: join, push, replies, and rejoining after a failure. socket.js
 * has the connection.
 */

import { abortable, onAbort } from "../util/abort.js";
import { Backoff } from "../util/backoff.js";
import { deferred } from "../util/deferred.js";
import { Emitter } from "../util/emitter.js";
import { AbortedError, TimeoutError } from "../util/errors.js";
import { isTemporary } from "../util/temporary.js";
import { ClosedError, DisconnectedError, refusal } from "./errors.js";
import { PendingPushes } from "./pending-pushes.js";

/** @typedef {"closed" | "joining" | "joined" | "errored"} ChannelState */

/**
 * What a channel receives from its socket.
 *
 * @typedef {object} ChannelHandlers
 * @property {() => void} onOpen the connection is open
 * @property {() => void} onClose the connection is closed
 * @property {(error: Error) => void} onGiveUp the socket does not reconnect, because of this error
 * @property {(message: import("./codec.js").Message) => void} onMessage a message on the topic arrived
 * @property {() => string | null} joinRef of the topic, while it is joined
 */

/**
 * What a channel needs of its socket.
 *
 * @typedef {object} ChannelSocket
 * @property {import("../util/clock.js").Clock} clock
 * @property {() => number} random
 * @property {number} timeout ms
 * @property {number} bufferLimit
 * @property {number} sessionTimeout ms that the server may keep the session of a connection that is gone
 * @property {() => boolean} isOpen
 * @property {() => void} connect
 * @property {() => string} nextRef a ref that was not used before
 * @property {(message: import("./codec.js").Message) => boolean} send false when the connection is not
 *   open; the message is then dropped. Throws a TooBigError
 * @property {(ref: string, handler: () => void) => void} onReply calls the handler once, when the reply
 *   arrives or the connection closes
 * @property {(reply: any) => void} onJoined receives the reply to each join
 * @property {(topic: string, handlers: ChannelHandlers) => void} add throws when the topic has a channel
 * @property {(topic: string, handlers: ChannelHandlers) => void} remove
 */

/**
 * Created by `socket.channel(topic, params)`.
 *
 * Its state goes from `closed` to `joining` to `joined`, and back to `closed` by `leave()`, by the
 * server's `phx_close`, when the *first* join is refused or times out, or when a later join is refused for good.
 * A channel that was joined once rejoins by itself: after a lost connection or a `phx_error` it is `errored` until
 * then. The network may be back before the server has noticed that the lost connection is gone. Its session then still
 * owns the topic, and the rejoin is refused as `taken`: it is tried again until that session must be over.
 *
 * @template {Record<string, any>} [Events=Record<string, any>] the payloads of the server's events, by their names
 * @template [JoinReply=any] the reply to the join
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
  /** Null between two joins, so that late messages of the previous join are dropped. */
  #joinRef = /** @type {string | null} */ (null);
  #pushes;
  /** @type {import("../util/deferred.js").Deferred<any> | null} */
  #firstJoin = null;
  #wasJoined = false;
  /** Until then, the session of a lost connection may own the topic. */
  #heldUntil = -Infinity;
  /** For the join under way or for the next one. */
  #timer = /** @type {any} */ (undefined);
  /** @type {ChannelHandlers} */
  #handlers = {
    onOpen: () => this.#state === "errored" && this.#sendJoin(),
    onClose: () => this.#state !== "closed" && this.#disconnected(),
    onGiveUp: (error) => this.#state !== "closed" && this.#close(error),
    onMessage: (message) => this.#receive(message),
    joinRef: () => (this.#state === "joined" ? this.#joinRef : null),
  };

  /**
   * @param {ChannelSocket} socket
   * @param {string} topic
   * @param {object | (() => object)} params
   * @internal
   */
  constructor(socket, topic, params) {
    this.#socket = socket;
    this.topic = topic;
    this.#params = params;
    this.#pushes = new PendingPushes(topic, socket.clock, socket.bufferLimit);
    this.#backoff = new Backoff({ base: 1_000, max: 10_000, random: socket.random });
  }

  /** @returns {ChannelState} */
  get state() {
    return this.#state;
  }

  /**
   * Joins the topic, and connects the socket first if necessary. While joined or joining it returns the
   * same promise.
   *
   * @param {object} [options]
   * @param {number} [options.timeout] ms, including connecting (default: the socket's)
   * @param {AbortSignal} [options.signal] aborts the join; if another call started it, only this call
   *   stops waiting
   * @returns {Promise<JoinReply>} the server's reply to the first join
   * @throws {RefusedError | TimeoutError | ClosedError | AbortedError} the channel is then closed, and
   *   `join()` may be called again
   * @throws {Error} immediately, when another channel of this socket has the same topic
   */
  join({ timeout = this.#socket.timeout, signal } = {}) {
    const what = `join of ${this.topic}`;
    if (this.#firstJoin) return abortable(this.#firstJoin.promise, signal, what);
    if (signal?.aborted) return Promise.reject(new AbortedError(what));
    this.#socket.add(this.topic, this.#handlers);
    const first = deferred();
    this.#firstJoin = first;
    const timer = this.#socket.clock.setTimeout(() => this.#abandonJoin(new TimeoutError(what, timeout)), timeout);
    const removeListener = onAbort(signal, () => this.#abandonJoin(new AbortedError(what)));
    const cleanUp = () => (this.#socket.clock.clearTimeout(timer), removeListener());
    first.promise.then(cleanUp, cleanUp);
    this.#enter("errored", null);
    if (this.#socket.isOpen()) this.#sendJoin();
    else this.#socket.connect();
    return first.promise;
  }

  /**
   * Sends an event and waits for the server's reply. While the channel is not joined yet, or rejoining,
   * the push is buffered; the socket's `bufferLimit` is the maximum.
   *
   * @template [Reply=any]
   * @param {string} event
   * @param {any} [payload] JSON, or an `ArrayBuffer` (the event name is then limited to 255 bytes)
   * @param {object} [options]
   * @param {number} [options.timeout] ms, including the time in the buffer (default: the socket's)
   * @param {AbortSignal} [options.signal] a push that is still buffered is never sent
   * @returns {Promise<Reply>} the `response` of the reply
   * @throws {RefusedError | TimeoutError | DisconnectedError | ClosedError | AbortedError |
   *   import("./errors.js").OverflowError | import("./errors.js").TooBigError | TypeError} `TypeError`: the payload is not JSON. After
   *   `DisconnectedError`, `TimeoutError` and `AbortedError` the push may or may not have arrived
   */
  push(event, payload = {}, { timeout = this.#socket.timeout, signal } = {}) {
    return this.#pushes.create(event, payload, { timeout, signal }, (push) => {
      if (this.#state === "closed") throw new ClosedError(`channel ${this.topic} is not joined`);
      if (this.#state === "joined") this.#sendPush(push);
      else this.#pushes.buffer(push);
    });
  }

  /**
   * @template {keyof Events & string} E
   * @param {E} event
   * @param {(payload: Events[E]) => void} listener
   * @returns {() => void} removes the listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  /**
   * Listens to the channel's state. The detail of `joined` is the reply to the join, that of the others
   * is an error or null.
   *
   * @param {(state: ChannelState, detail: any) => void} listener
   * @returns {() => void} removes the listener
   */
  onState(listener) {
    return this.#lifecycle.on("state", listener);
  }

  /**
   * Leaves the topic immediately: no event arrives any more, and the topic may be joined again.
   *
   * @param {object} [options]
   * @param {number} [options.timeout] ms (default: the socket's)
   * @param {AbortSignal} [options.signal] stops waiting for the server
   * @returns {Promise<void>} resolves when the server has confirmed, or the connection has closed; the
   *   caller need not wait
   * @throws {TimeoutError | AbortedError}
   */
  leave({ timeout = this.#socket.timeout, signal } = {}) {
    if (this.#state === "closed") return Promise.resolve();
    const ref = this.#sendLeave();
    const left = this.#pushes.create("phx_leave", {}, { timeout, signal }, ({ resolve }) => {
      if (ref === null) resolve(undefined);
      else this.#socket.onReply(ref, () => resolve(undefined));
    });
    left.catch(() => {}); // a caller that does not wait has left nevertheless
    this.#close(new ClosedError(`channel ${this.topic} was left`));
    return left;
  }

  /** @param {import("./codec.js").Message} message */
  #receive({ joinRef, ref, event, payload }) {
    if (joinRef !== null && joinRef !== this.#joinRef) return;
    if (event === "phx_reply") this.#replied(ref, payload);
    else if (event === "phx_error") this.#crashed();
    else if (event === "phx_close") this.#close(new ClosedError(`server closed ${this.topic}`));
    else this.#events.emit(event, payload);
  }

  #sendJoin() {
    const { clock, timeout } = this.#socket;
    clock.clearTimeout(this.#timer);
    const ref = this.#socket.nextRef();
    this.#joinRef = ref;
    this.#timer = clock.setTimeout(() => this.#joinTimedOut(timeout), timeout);
    this.#enter("joining", null);
    try {
      const payload = typeof this.#params === "function" ? this.#params() : this.#params;
      this.#socket.send({ joinRef: ref, ref, topic: this.topic, event: "phx_join", payload });
    } catch (error) {
      this.#close(/** @type {Error} */ (error)); // the caller's params threw, or are too big: a retry would fail too
    }
  }

  /** @param {Error} error */
  #abandonJoin(error) {
    this.#sendLeave();
    this.#close(error);
  }

  /** @param {number} timeout */
  #joinTimedOut(timeout) {
    // The server may still accept the join, so a leave is sent.
    this.#sendLeave();
    this.#fail(new TimeoutError(`join of ${this.topic}`, timeout));
    this.#rejoinLater();
  }

  /** @returns {string | null} its ref; null when the socket is not connected */
  #sendLeave() {
    if (this.#joinRef === null) return null;
    const ref = this.#socket.nextRef();
    const isSent = this.#socket.send({ joinRef: this.#joinRef, ref, topic: this.topic, event: "phx_leave", payload: {} });
    return isSent ? ref : null;
  }

  /** @param {import("./pending-pushes.js").PendingPush} push */
  #sendPush(push) {
    const ref = this.#socket.nextRef();
    const { event, payload } = push;
    this.#pushes.markSent(ref, push);
    try {
      this.#socket.send({ joinRef: this.#joinRef, ref, topic: this.topic, event, payload });
    } catch (error) {
      push.reject(/** @type {Error} */ (error)); // it cannot be encoded; the other pushes can
    }
  }

  /**
   * @param {string | null} ref
   * @param {{status: string, response: any}} reply
   */
  #replied(ref, { status, response }) {
    if (this.#state === "joining" && ref === this.#joinRef) {
      if (status === "ok") this.#joined(response);
      else this.#joinRefused(response);
      return;
    }
    this.#pushes.settle(ref, { status, response });
  }

  /** @param {any} response */
  #joined(response) {
    this.#socket.clock.clearTimeout(this.#timer);
    this.#backoff.reset();
    this.#wasJoined = true;
    this.#socket.onJoined(response);
    // Before the listeners run: what they push must not overtake the buffered pushes.
    for (const push of this.#pushes.takeUnsent()) this.#sendPush(push);
    this.#enter("joined", response);
    this.#firstJoin?.resolve(response);
  }

  /** @param {any} response */
  #joinRefused(response) {
    const error = refusal(`join of ${this.topic}`, response);
    const isHeld = error.reason === "taken" && this.#socket.clock.now() < this.#heldUntil;
    if (!this.#wasJoined || !(isTemporary(error) || isHeld)) return this.#close(error);
    this.#fail(error);
    this.#rejoinLater();
  }

  #disconnected() {
    const { clock, sessionTimeout } = this.#socket;
    // A connection on which no join was sent holds nothing.
    if (this.#joinRef !== null) this.#heldUntil = clock.now() + sessionTimeout;
    this.#fail(new DisconnectedError(`connection lost while on ${this.topic}`));
  }

  #crashed() {
    this.#fail(new DisconnectedError(`server's channel for ${this.topic} crashed`));
    this.#rejoinLater();
  }

  #rejoinLater() {
    const retry = () => this.#socket.isOpen() && this.#sendJoin();
    this.#timer = this.#socket.clock.setTimeout(retry, this.#backoff.next());
  }

  /**
   * Rejects the pushes that were sent, because no reply will come. Buffered pushes are kept.
   *
   * @param {Error} error
   */
  #fail(error) {
    this.#socket.clock.clearTimeout(this.#timer);
    this.#joinRef = null;
    const unanswered = this.#pushes.takeUnanswered();
    this.#enter("errored", error);
    for (const push of unanswered) push.reject(error);
  }

  /** @param {Error} error */
  #close(error) {
    const pending = [...this.#pushes.takeUnanswered(), ...this.#pushes.takeUnsent()];
    const firstJoin = this.#firstJoin;
    this.#firstJoin = null;
    this.#joinRef = null;
    this.#wasJoined = false;
    this.#heldUntil = -Infinity;
    this.#socket.clock.clearTimeout(this.#timer);
    this.#socket.remove(this.topic, this.#handlers);
    this.#enter("closed", error);
    for (const push of pending) push.reject(error);
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
