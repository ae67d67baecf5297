/**
 * A connection to a Phoenix Channels server over WebSocket. It reconnects by itself and dispatches
 * messages to its channels. channel.js has the life of a topic, codec.js the bytes of a message.
 *
 *     const socket = new Socket("/socket");
 *     const room = socket.channel("room:lobby");
 *     room.on("shout", (payload) => console.log(payload));
 *     await room.join();
 */

import { abortable } from "../util/abort.js";
import { Backoff } from "../util/backoff.js";
import { systemClock } from "../util/clock.js";
import { deferred } from "../util/deferred.js";
import { Emitter } from "../util/emitter.js";
import { utf8 } from "../util/bytes.js";
import { AbortedError } from "../util/errors.js";
import { onNetworkChange } from "../util/network-change.js";
import { onPageReturn } from "../util/page-return.js";
import { isPermanentClose, isTemporary } from "../util/temporary.js";
import { Channel } from "./channel.js";
import { decode, encode } from "./codec.js";
import { DisconnectedError, RejectedError, TokenError, TooBigError, tokenError } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";
import { TokenRefresh } from "./token-refresh.js";
import { TransportOpener } from "./transport-opener.js";

/** The size of a message that every broker accepts, in bytes: the minimum of `limits.message_bytes`. */
const ACCEPTED_BYTES = 1024;

/** @typedef {"closed" | "connecting" | "open" | "waiting"} SocketState */

/** @typedef {import("./socket-options.js").SocketOptions} SocketOptions */
/** @typedef {import("./token-refresh.js").Reply} Reply */

/**
 * Reconnects by itself, in hidden pages too, until `disconnect()`.
 *
 * Events: `open`; `close {code, reason}` when an open or opening connection ends; `waiting ms` before
 * each new attempt; `connected isConnected` when `isConnected` changes; `error` for frames that cannot be
 * decoded, for a token that cannot be got or replaced, and before the socket gives up because another attempt would fail
 * for the same cause.
 *
 * @extends {Emitter<{open: [], close: [{code: number, reason: string}], waiting: [number], connected: [boolean],
 *   error: [Error]}>}
 */
export class Socket extends Emitter {
  #opener;
  #timeout;
  #heartbeat;
  #refresh;
  #backoff;
  #channelSocket;
  #stopListening = () => {};
  /** @type {Map<string, import("./channel.js").ChannelHandlers>} by topic */
  #channels = new Map();
  /** @type {WebSocket | null} */
  #transport = null;
  /** @type {SocketState} */
  #state = "closed";
  #isConnected = false;
  /** @type {(import("../util/deferred.js").Deferred<void> & {waiting: number}) | null} the callers of `connect` */
  #opening = null;
  #lastRef = 0;
  /** Bytes of a message; until the server tells it, there is no limit. */
  #messageLimit = Infinity;
  /** Bytes of the largest message that this connection has sent. */
  #largestSent = 0;
  /** @type {Map<string, (reply: Reply | null) => void>} by the ref of the message that waits */
  #replyHandlers = new Map();
  /** For opening or for the next attempt; they never overlap. */
  #timer = /** @type {any} */ (undefined);

  /**
   * @param {string} url the endpoint, absolute or relative to the page: `/socket`, `wss://host/socket`
   * @param {SocketOptions} [options]
   * @throws {TypeError} the URL is invalid, or the platform has no WebSocket
   */
  constructor(url, options = {}) {
    super();
    this.network = options.network ?? globalThis;
    this.clock = options.clock ?? systemClock;
    this.#timeout = options.timeout ?? 10_000;
    const timing = { clock: this.clock, random: options.random, timeout: this.#timeout };
    this.#opener = new TransportOpener(url, options, timing);
    this.#backoff = new Backoff(timing);
    this.#refresh = new TokenRefresh(this.#opener.token, timing, {
      push: (event, payload, onReply) => this.#pushAnywhere(event, payload, onReply),
      onError: (error) => this.emit("error", error),
    });
    this.#heartbeat = new Heartbeat({
      clock: this.clock,
      interval: options.heartbeatInterval ?? 30_000,
      send: (onReply) => this.#sendHeartbeat(onReply),
      onAnswer: () => this.#setConnected(true),
      onTimeout: () => this.#lost({ code: 1006, reason: "heartbeat timeout" }),
    });
    this.#channelSocket = this.#socketForChannels(options);
  }

  /** @returns {SocketState} `waiting` means: between two attempts */
  get state() {
    return this.#state;
  }

  /**
   * Whether the socket is open, and the server has answered since the page was shown again or the network
   * changed: until then the connection may have died silently. The answer may take 5 s.
   *
   * @returns {boolean}
   */
  get isConnected() {
    return this.#isConnected;
  }

  /**
   * Starts connecting unless that is under way. Joining a channel does so too.
   *
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] stops waiting; also stops connecting, unless another call or
   *   a channel waits too
   * @returns {Promise<void>} resolves when the socket is open, however many attempts that takes
   * @throws {AbortedError | DisconnectedError | import("./errors.js").EndpointError | RejectedError | TokenError}
   */
  connect({ signal } = {}) {
    if (signal?.aborted) return Promise.reject(new AbortedError("connecting"));
    if (this.#state === "open") return Promise.resolve();
    const opening = (this.#opening ??= { ...deferred(), waiting: 0 });
    opening.waiting += 1;
    if (this.#state === "closed") {
      const stops = [onNetworkChange, onPageReturn].map((listen) => listen(this.network, () => this.#probe()));
      this.#stopListening = () => stops.forEach((stop) => stop());
      this.#open();
    }
    const opened = abortable(opening.promise, signal, "connecting");
    opened.catch(() => {
      opening.waiting -= 1;
      if (opening === this.#opening && opening.waiting === 0 && this.#channels.size === 0) this.disconnect();
    });
    return opened;
  }

  /**
   * Closes the connection and stops reconnecting. Channels rejoin at the next `connect()`, unless they
   * are left first.
   */
  disconnect() {
    if (this.#state === "closed") return;
    this.#stop({ code: 1000, reason: "disconnected by the client" }, new DisconnectedError("socket was disconnected"));
  }

  /**
   * @param {number} bytes the largest message that the server accepts; larger ones are refused here as `too_big`,
   *   because the server would close the connection
   * @internal
   */
  limitMessages(bytes) {
    if (Number.isSafeInteger(bytes) && bytes > 0) this.#messageLimit = bytes;
  }

  /**
   * @template {Record<string, any>} [Events=Record<string, any>] the payloads of the server's events, by their names
   * @template [JoinReply=any]
   * @param {string} topic
   * @param {object | (() => object)} [params] the payload of the join; a function is called on every join
   * @returns {Channel<Events, JoinReply>} not joined yet
   */
  channel(topic, params = {}) {
    return new Channel(this.#channelSocket, topic, params);
  }

  /**
   * @param {SocketOptions} options
   * @returns {import("./channel.js").ChannelSocket}
   */
  #socketForChannels({ random = Math.random, bufferLimit = 100, sessionTimeout = 60_000 }) {
    return {
      clock: this.clock,
      random,
      timeout: this.#timeout,
      bufferLimit,
      sessionTimeout,
      isOpen: () => this.#state === "open",
      connect: () => void this.connect(),
      nextRef: () => this.#nextRef(),
      send: (message) => this.#send(message),
      onReply: (ref, handler) => void this.#replyHandlers.set(ref, handler),
      onJoined: (reply) => this.#refresh.plan(reply?.expires_in),
      add: (topic, handlers) => {
        if (this.#channels.has(topic)) throw new Error(`socket already has a channel for ${topic}`);
        this.#channels.set(topic, handlers);
      },
      remove: (topic, handlers) => {
        if (this.#channels.get(topic) === handlers) this.#channels.delete(topic);
      },
    };
  }

  #nextRef() {
    this.#lastRef += 1;
    return String(this.#lastRef);
  }

  /**
   * @param {import("./codec.js").Message} message
   * @returns {boolean} whether the connection is open, and so the message was sent
   * @throws {TooBigError}
   */
  #send(message) {
    if (this.#state !== "open" || !this.#transport) return false;
    const frame = encode(message);
    const bytes = typeof frame === "string" ? utf8(frame).length : frame.byteLength;
    if (bytes > this.#messageLimit) throw new TooBigError(bytes, this.#messageLimit);
    this.#largestSent = Math.max(this.#largestSent, bytes);
    this.#transport.send(frame);
    return true;
  }

  #open() {
    this.clock.clearTimeout(this.#timer);
    this.#state = "connecting";
    this.#largestSent = 0;
    this.#opener.open({
      onTransport: (transport) => this.#listen(transport),
      // Later, because the caller of `connect` has not got its promise yet.
      onFailure: (error, isFinal) => this.#schedule(0, () => this.#failed(error, isFinal)),
    });
  }

  /** @param {WebSocket} transport */
  #listen(transport) {
    this.#transport = transport;
    transport.binaryType = "arraybuffer";
    // Events of a transport that was replaced are ignored.
    const isCurrent = () => this.#transport === transport;
    transport.onopen = () => isCurrent() && this.#opened();
    transport.onmessage = ({ data }) => isCurrent() && this.#receive(data);
    transport.onclose = ({ code, reason }) => isCurrent() && this.#lost({ code, reason });
    // `close` follows and is enough, but Node exits on an error event without a listener.
    transport.onerror = () => {};
    this.#schedule(this.#timeout, () => this.#lost({ code: 1006, reason: "connect timeout" }));
  }

  /** @type {import("./transport-opener.js").OpenHandlers["onFailure"]} */
  #failed(error, isFinal) {
    if (isFinal) return this.#giveUp(error);
    if (error instanceof TokenError) this.emit("error", error);
    if (this.#state === "connecting") this.#lost({ code: 1006, reason: String(error) });
  }

  #opened() {
    this.#state = "open";
    this.#opener.stopSearch();
    this.#backoff.reset();
    this.clock.clearTimeout(this.#timer);
    this.#heartbeat.start();
    this.#opening?.resolve();
    this.#opening = null;
    this.emit("open");
    if (this.#state === "open") this.#setConnected(true);
    for (const channel of [...this.#channels.values()]) channel.onOpen();
  }

  /** @param {() => void} onReply */
  #sendHeartbeat(onReply) {
    const ref = this.#nextRef();
    this.#replyHandlers.set(ref, onReply);
    this.#send({ joinRef: null, ref, topic: "phoenix", event: "heartbeat", payload: {} });
  }

  /** @type {import("./token-refresh.js").RefreshHandlers["push"]} */
  #pushAnywhere(event, payload, onReply) {
    for (const [topic, { joinRef }] of this.#channels) {
      if (joinRef() === null) continue;
      const ref = this.#nextRef();
      this.#send({ joinRef: joinRef(), ref, topic, event, payload });
      this.#replyHandlers.set(ref, onReply);
      return true;
    }
    return false;
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    let message;
    try {
      message = decode(data);
    } catch (error) {
      return this.emit("error", /** @type {Error} */ (error));
    }
    this.#opener.token.accept();
    const onReply = message.event === "phx_reply" && this.#replyHandlers.get(message.ref ?? "");
    if (!onReply) return this.#channels.get(message.topic)?.onMessage(message);
    this.#replyHandlers.delete(message.ref ?? "");
    onReply(message.payload);
  }

  /** @param {{code: number, reason: string}} info */
  #lost(info) {
    const refused = info.code === 1008 ? tokenError(info.reason) : null;
    if (refused && this.#opener.token.isFinalRefusal()) return this.#giveUp(refused, info);
    if (isPermanentClose(info)) return this.#giveUp(new RejectedError(info), info);
    // The next connection would end in the same way, so the message must not be sent again.
    if (info.code === 1009 && this.#largestSent > ACCEPTED_BYTES) this.#messageLimit = Math.min(this.#messageLimit, this.#largestSent - 1);
    const isHidden = this.#state === "connecting" && this.#opener.mayHaveToken;
    this.#drop("waiting", info);
    // A listener of `close` may have disconnected or reconnected already.
    if (this.#state !== "waiting") return;
    const delay = this.#backoff.next();
    this.#schedule(delay, () => this.#open());
    this.emit("waiting", delay);
    // If nobody has seen this server yet, its URL may be wrong. A token may be refused that was good before.
    const isUnseen = this.#opening !== null && !this.#opener.hasSearched;
    if (isUnseen || isHidden) this.#opener.findFault(isUnseen).then((fault) => fault && this.#found(fault));
  }

  /** @param {Error} fault why the server refuses the connection */
  #found(fault) {
    if (isTemporary(fault)) this.emit("error", fault);
    else this.#giveUp(fault);
  }

  /**
   * Another attempt would fail for the same cause.
   *
   * @param {Error} error
   * @param {{code: number, reason: string}} [info] of the connection
   */
  #giveUp(error, info = { code: 1006, reason: error.message }) {
    this.emit("error", error);
    if (this.#state === "closed") return; // by a listener
    const channels = [...this.#channels.values()];
    this.#stop(info, error);
    for (const channel of channels) channel.onGiveUp(error);
  }

  /**
   * @param {{code: number, reason: string}} info
   * @param {Error} error for the callers of `connect`
   */
  #stop(info, error) {
    this.#stopListening();
    this.#opener.reset();
    const opening = this.#opening;
    this.#opening = null;
    this.#drop("closed", info);
    opening?.reject(error);
  }

  /**
   * Abandons the transport without waiting for its close handshake, which can take minutes on a dead
   * connection.
   *
   * @param {SocketState} state the new state
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
    this.#heartbeat.stop();
    this.#opener.cancel();
    this.#refresh.stop();
    for (const handler of [...this.#replyHandlers.values()]) handler(null);
    this.#replyHandlers.clear();
    for (const channel of [...this.#channels.values()]) channel.onClose();
    this.#setConnected(false);
    this.emit("close", info);
  }

  /** A connection over the previous network, or from before the page was hidden, is often dead without a close event. */
  #probe() {
    if (this.#state === "waiting") return this.#open();
    if (!this.#isConnected) return; // still connecting, or a probe is under way
    this.#setConnected(false);
    if (this.#state === "open") this.#heartbeat.probe();
  }

  /** @param {boolean} isConnected */
  #setConnected(isConnected) {
    if (this.#isConnected === isConnected) return;
    this.#isConnected = isConnected;
    this.emit("connected", isConnected);
  }

  /**
   * @param {number} ms
   * @param {() => void} fn
   */
  #schedule(ms, fn) {
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(fn, ms);
  }
}
