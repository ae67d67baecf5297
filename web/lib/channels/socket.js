/**
 * One conversation with a Phoenix Channels server over WebSocket: connecting, staying
 * connected, and handing messages to their channels. What a topic does is the
 * channel's business; the bytes of a message are frame.js's.
 *
 *     const socket = new Socket("/socket");
 *     const room = socket.channel("room:lobby");
 *     room.on("shout", (payload) => console.log(payload));
 *     await room.join();
 */

import { unlessAborted } from "../util/abort.js";
import { Backoff } from "../util/backoff.js";
import { Channel } from "./channel.js";
import { systemClock } from "../util/clock.js";
import { deferred } from "../util/deferred.js";
import { Emitter } from "../util/emitter.js";
import { AbortedError, DisconnectedError } from "../util/errors.js";
import { decode, encode, endpoint } from "./codec.js";
import { Heartbeat } from "./heartbeat.js";
import { onNetworkChange } from "../util/network-change.js";

/** @typedef {"closed" | "connecting" | "open" | "waiting"} SocketState */

/**
 * @typedef {object} SocketOptions
 * @property {Record<string, string> | (() => Record<string, string>)} [params] sent in the
 *   query of the URL; a function is asked anew at every try, for what expires
 * @property {new (url: string) => WebSocket} [transport] default: the platform's WebSocket
 * @property {import("../util/clock.js").Clock} [clock]
 * @property {() => number} [random] for jitter
 * @property {import("../util/network-change.js").Network} [network] fires
 *   `online`; default: the window
 * @property {number} [timeout] ms for opening, joining and pushing (default 10 000)
 * @property {number} [heartbeatInterval] ms (default 30 000)
 * @property {number} [bufferLimit] pushes that one channel keeps while offline (default 100)
 */

/**
 * Reconnects by itself, hidden page or not, until `disconnect()`.
 *
 * Events: `open`; `close {code, reason}` whenever an open or opening connection ends;
 * `waiting ms` before each new try; `error` for frames that could not be read.
 *
 * @extends {Emitter<{open: [], close: [{code: number, reason: string}], waiting: [number], error: [Error]}>}
 */
export class Socket extends Emitter {
  #mount;
  #params;
  #Transport;
  #heartbeat;
  #backoff;
  #unlistenNetwork = () => {};
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  /** @type {WebSocket | null} */
  #transport = null;
  /** @type {SocketState} */
  #state = "closed";
  /** @type {(import("../util/deferred.js").Deferred<void> & {waiting: number}) | null} those that wait for it to open */
  #opening = null;
  #lastRef = 0;
  /** @type {Map<string, () => void>} by the ref of what was asked */
  #answers = new Map();
  /** Of opening, or of the next try: they never overlap. */
  #timer = /** @type {any} */ (undefined);

  /**
   * @param {string} url the mount, absolute or relative to the page: `/socket`, `wss://host/socket`
   * @param {SocketOptions} [options]
   * @throws {TypeError} the URL cannot be read, or the platform has no WebSocket
   */
  constructor(url, options = {}) {
    super();
    this.#mount = new URL(url, globalThis.location?.href);
    this.#params = options.params ?? {};
    this.#Transport = options.transport ?? globalThis.WebSocket;
    if (!this.#Transport) throw new TypeError("this platform has no WebSocket: give one as transport");
    this.network = options.network ?? globalThis;
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? Math.random;
    this.timeout = options.timeout ?? 10_000;
    this.bufferLimit = options.bufferLimit ?? 100;
    this.#backoff = new Backoff({ random: this.random });
    this.#heartbeat = new Heartbeat({
      clock: this.clock,
      interval: options.heartbeatInterval ?? 30_000,
      ask: (answered) => this.#askAlive(answered),
      dead: () => this.#lost({ code: 1006, reason: "heartbeat timeout" }),
    });
  }

  /** @returns {SocketState} `waiting` means: between two tries */
  get state() {
    return this.#state;
  }

  /**
   * Starts connecting if that is not under way. Joining a channel does it too.
   *
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] ends the waiting; and the connecting with it, unless
   *   another call or a channel waits too
   * @returns {Promise<void>} when it is open, however many tries that takes
   * @throws {AbortedError | DisconnectedError}
   */
  connect({ signal } = {}) {
    if (signal?.aborted) return Promise.reject(new AbortedError("connecting"));
    if (this.#state === "open") return Promise.resolve();
    const opening = (this.#opening ??= { ...deferred(), waiting: 0 });
    opening.waiting += 1;
    if (this.#state === "closed") {
      this.#unlistenNetwork = onNetworkChange(this.network, () => this.#networkChanged());
      this.#open();
    }
    const opened = unlessAborted(opening.promise, signal, "connecting");
    opened.catch(() => {
      opening.waiting -= 1;
      if (opening === this.#opening && opening.waiting === 0 && this.#channels.size === 0) this.disconnect();
    });
    return opened;
  }

  /**
   * Ends the connection for good. Channels stay joined in name and come back with the
   * next `connect()`; to end those too, leave them first.
   */
  disconnect() {
    if (this.#state === "closed") return;
    this.#unlistenNetwork();
    const opening = this.#opening;
    this.#opening = null;
    this.#drop("closed", { code: 1000, reason: "disconnected by the client" });
    opening?.reject(new DisconnectedError("socket was disconnected"));
  }

  /**
   * @param {string} topic
   * @param {object | (() => object)} [params] the join's payload; a function is asked anew at every rejoin
   * @returns {Channel} not joined yet
   */
  channel(topic, params = {}) {
    return new Channel(this, topic, params);
  }

  /**
   * For channels: messages on its topic are for this one from now on.
   *
   * @param {Channel} channel
   * @throws {Error} when this socket already has a live channel for the topic
   */
  add(channel) {
    const { topic } = channel;
    if (this.#channels.has(topic)) throw new Error(`socket already has a channel for ${topic}`);
    this.#channels.set(topic, channel);
  }

  /**
   * For channels: forgets one that ended.
   *
   * @param {Channel} channel
   */
  remove(channel) {
    if (this.#channels.get(channel.topic) === channel) this.#channels.delete(channel.topic);
  }

  /** For channels: a ref that this socket has not used yet. */
  nextRef() {
    this.#lastRef += 1;
    return String(this.#lastRef);
  }

  /**
   * For channels: sends now or not at all; keeping for later is the channel's decision.
   *
   * @param {import("./codec.js").Message} message
   * @returns {boolean} whether it was handed to an open connection
   */
  send(message) {
    if (this.#state !== "open" || !this.#transport) return false;
    this.#transport.send(encode(message));
    return true;
  }

  /**
   * For channels: hears of the answer to a message that is sent next, or that none will come.
   *
   * @param {string} ref of the message
   * @param {() => void} over called once: answered, or the connection is gone
   */
  onAnswer(ref, over) {
    this.#answers.set(ref, over);
  }

  #open() {
    this.clock.clearTimeout(this.#timer);
    this.#state = "connecting";
    const transport = this.#makeTransport();
    if (!transport) return;
    this.#transport = transport;
    transport.binaryType = "arraybuffer";
    // A transport that was given up may still speak; only the current one is heard.
    const current = () => this.#transport === transport;
    transport.onopen = () => current() && this.#opened();
    transport.onmessage = ({ data }) => current() && this.#receive(data);
    transport.onclose = ({ code, reason }) => current() && this.#lost({ code, reason });
    // `close` follows and tells; but node ends a process that does not listen to an error.
    transport.onerror = () => {};
    this.#after(this.timeout, () => this.#lost({ code: 1006, reason: "connect timeout" }));
  }

  /** @returns {WebSocket | null} null when the platform or the caller's `params` refuse; it is tried again */
  #makeTransport() {
    try {
      const params = typeof this.#params === "function" ? this.#params() : this.#params;
      return new this.#Transport(endpoint(this.#mount, params));
    } catch (error) {
      this.#after(0, () => this.#lost({ code: 1006, reason: String(error) }));
      return null;
    }
  }

  #opened() {
    this.#state = "open";
    this.#backoff.reset();
    this.clock.clearTimeout(this.#timer);
    this.#heartbeat.start();
    this.#opening?.resolve();
    this.#opening = null;
    this.emit("open");
    for (const channel of [...this.#channels.values()]) channel.socketOpened();
  }

  /** @param {() => void} answered */
  #askAlive(answered) {
    const ref = this.nextRef();
    this.onAnswer(ref, answered);
    this.send({ joinRef: null, ref, topic: "phoenix", event: "heartbeat", payload: {} });
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    let message;
    try {
      message = decode(data);
    } catch (error) {
      return this.emit("error", /** @type {Error} */ (error));
    }
    const answered = message.event === "phx_reply" && this.#answers.get(message.ref ?? "");
    if (!answered) return this.#channels.get(message.topic)?.receive(message);
    this.#answers.delete(message.ref ?? "");
    answered();
  }

  /** @param {{code: number, reason: string}} info */
  #lost(info) {
    this.#drop("waiting", info);
    // A listener of `close` may have disconnected or reconnected already.
    if (this.#state !== "waiting") return;
    const delay = this.#backoff.next();
    this.#after(delay, () => this.#open());
    this.emit("waiting", delay);
  }

  /**
   * Lets go of the transport without waiting for its close handshake, which on a dead
   * link can take minutes.
   *
   * @param {SocketState} state what the socket is from now on
   * @param {{code: number, reason: string}} info
   */
  #drop(state, info) {
    const transport = this.#transport;
    const wasWaiting = this.#state === "waiting";
    this.#transport = null;
    this.#state = state;
    this.clock.clearTimeout(this.#timer);
    if (wasWaiting) return;
    transport?.close(1000);
    for (const over of [...this.#answers.values()]) over();
    this.#answers.clear();
    this.#heartbeat.stop(); // after its last question, which is one of them
    for (const channel of [...this.#channels.values()]) channel.socketClosed();
    this.emit("close", info);
  }

  #networkChanged() {
    if (this.#state === "waiting") this.#open();
    else if (this.#state === "open") this.#heartbeat.networkChanged();
  }

  /**
   * @param {number} ms
   * @param {() => void} fn
   */
  #after(ms, fn) {
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(fn, ms);
  }
}
