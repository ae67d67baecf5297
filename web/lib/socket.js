/**
 * One conversation with a Phoenix Channels server over WebSocket: connecting, staying
 * connected, and handing messages to their channels. What a topic does is the
 * channel's business; the bytes of a message are frame.js's.
 *
 *     const socket = new Socket("/socket");
 *     const room = socket.channel("room:lobby");
 *     room.on("shout", (payload) => console.log(payload));
 *     await room.join();
 *     await room.push("shout", { text: "hello" });
 */

import { Backoff } from "./backoff.js";
import { Channel } from "./channel.js";
import { systemClock } from "./clock.js";
import { Emitter } from "./emitter.js";
import { decode, encode } from "./frame.js";
import { onNetworkChange } from "./network.js";

/** How long the server may take to answer after the network has changed (ms). */
const DOUBT = 5_000;

/** @typedef {import("./frame.js").Message} Message */
/** @typedef {"closed" | "connecting" | "open" | "waiting"} SocketState */

/**
 * @typedef {object} SocketOptions
 * @property {Record<string, string>} [params] sent in the query of the URL
 * @property {new (url: string) => WebSocket} [transport] default: the platform's WebSocket
 * @property {import("./clock.js").Clock} [clock]
 * @property {() => number} [random] for jitter
 * @property {import("./network.js").Network} [network] fires
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
  #url;
  #Transport;
  #heartbeatInterval;
  #backoff;
  #unlistenNetwork = () => {};
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  /** @type {WebSocket | null} */
  #transport = null;
  /** @type {SocketState} */
  #state = "closed";
  #lastRef = 0;
  /** @type {string | null} */
  #heartbeatRef = null;
  /** One timer serves all: opening, the next heartbeat and the next try never overlap. */
  #timer = /** @type {any} */ (undefined);

  /**
   * @param {string} url the mount, absolute or relative to the page: `/socket`, `wss://host/socket`
   * @param {SocketOptions} [options]
   */
  constructor(url, options = {}) {
    super();
    this.#url = endpoint(url, options.params ?? {});
    this.#Transport = options.transport ?? globalThis.WebSocket;
    this.#heartbeatInterval = options.heartbeatInterval ?? 30_000;
    this.network = options.network ?? globalThis;
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? Math.random;
    this.timeout = options.timeout ?? 10_000;
    this.bufferLimit = options.bufferLimit ?? 100;
    this.#backoff = new Backoff({ random: this.random });
  }

  /** @returns {SocketState} `waiting` means: between two tries */
  get state() {
    return this.#state;
  }

  /** Starts connecting; does nothing if that is under way. Joining a channel does it too. */
  connect() {
    if (this.#state !== "closed") return;
    this.#unlistenNetwork = onNetworkChange(this.network, () => this.#networkChanged());
    this.#open();
  }

  /**
   * Ends the connection for good. Channels stay joined in name and come back with the
   * next `connect()`; to end those too, leave them first.
   */
  disconnect() {
    if (this.#state === "closed") return;
    this.#unlistenNetwork();
    this.#drop("closed", { code: 1000, reason: "disconnected by the client" });
  }

  /**
   * @param {string} topic
   * @param {object | (() => object)} [params] the join's payload; a function is asked anew
   *   at every rejoin
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
   * @param {Message} message
   * @returns {boolean} whether it was handed to an open connection
   */
  send(message) {
    if (this.#state !== "open" || !this.#transport) return false;
    this.#transport.send(encode(message));
    return true;
  }

  #open() {
    this.#state = "connecting";
    const transport = new this.#Transport(this.#url);
    this.#transport = transport;
    transport.binaryType = "arraybuffer";
    // A transport that was given up may still speak; only the current one is heard.
    const current = () => this.#transport === transport;
    transport.onopen = () => current() && this.#opened();
    transport.onmessage = ({ data }) => current() && this.#receive(data);
    transport.onclose = ({ code, reason }) => current() && this.#lost({ code, reason });
    this.#after(this.timeout, () => this.#lost({ code: 1006, reason: "connect timeout" }));
  }

  #opened() {
    this.#state = "open";
    this.#backoff.reset();
    this.#heartbeatRef = null;
    this.#after(this.#heartbeatInterval, this.#beat);
    this.emit("open");
    for (const channel of [...this.#channels.values()]) channel.socketOpened();
  }

  #beat = () => {
    // The last one is still unanswered: the link is dead, whatever the transport believes.
    if (this.#heartbeatRef) return this.#lost({ code: 1006, reason: "heartbeat timeout" });
    this.#sendBeat();
    this.#after(this.#heartbeatInterval, this.#beat);
  };

  #sendBeat() {
    const ref = this.nextRef();
    this.#heartbeatRef = ref;
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
    if (message.topic === "phoenix" && message.ref === this.#heartbeatRef) {
      this.#heartbeatRef = null;
    } else {
      this.#channels.get(message.topic)?.receive(message);
    }
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
    this.#transport = null;
    this.#state = state;
    this.clock.clearTimeout(this.#timer);
    if (!transport) return;
    transport.close(1000);
    for (const channel of [...this.#channels.values()]) channel.socketClosed();
    this.emit("close", info);
  }

  #networkChanged() {
    if (this.#state === "waiting") {
      this.clock.clearTimeout(this.#timer);
      this.#open();
    } else if (this.#state === "open") {
      // A connection made over the old network is often dead, and its end is told by nobody.
      if (!this.#heartbeatRef) this.#sendBeat();
      this.#after(Math.min(this.#heartbeatInterval, DOUBT), this.#beat);
    }
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

/**
 * @param {string} mount
 * @param {Record<string, string>} params
 */
function endpoint(mount, params) {
  const url = new URL(mount, globalThis.location?.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.pathname = `${url.pathname.replace(/\/$/, "")}/websocket`;
  for (const [key, value] of Object.entries(params)) url.searchParams.set(key, value);
  url.searchParams.set("vsn", "2.0.0");
  return url.href;
}
