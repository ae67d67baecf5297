/**
 * One connection of a pool: messages of any size over a message channel, and an orderly close that
 * delivers everything that was sent before. connection-pool.js decides which connections are kept.
 */

import { abortable } from "../../util/abort.js";
import { utf8 } from "../../util/bytes.js";
import { deferred } from "../../util/deferred.js";
import { callListener } from "../../util/emitter.js";
import { AbortedError, ProtocolError } from "../../util/errors.js";
import { PeerError } from "../errors.js";

/** The size of message that every browser accepts (bytes). */
const CHUNK_BYTES = 64 * 1024;
/** JSON up to this length is sent in one message; a character has at most three bytes. */
const SHORT_JSON_CHARS = 16 * 1024;

/** @typedef {import("../connection.js").Connection} Connection */
/** @typedef {import("../message-channel.js").RtcMessageChannel} RtcMessageChannel */

/**
 * @typedef {object} PooledConnectionOptions
 * @property {Connection} connection open
 * @property {RtcMessageChannel} channel of the connection, without another reader
 * @property {import("../../util/clock.js").Clock} clock
 * @property {number} connectionCloseDelay ms
 * @property {number} silentConnectionCloseTimeout ms
 * @property {number} maxMessageSize bytes
 * @property {() => void} onUse called whenever data was sent or received
 */

/**
 * `isAvailable()` is false after either side has called `destroy()`. What the other side has sent before
 * still arrives at `ondata`.
 */
export class PooledConnection {
  /** @type {((error: Error) => void) | null} called when the connection broke; it is closed then */
  onerror = null;
  #connection;
  #channel;
  #clock;
  #closeDelay;
  #maxMessageSize;
  #onUse;
  #isDestroyed = false;
  /** @type {((data: any) => void) | null} */
  #ondata = null;
  /** @type {import("../../util/deferred.js").Deferred<void>} messages wait in the channel until a listener is set */
  #listening = deferred();
  /** Messages are sent one after the other, so that their chunks do not mix. */
  #sendQueue = /** @type {Promise<any>} */ (Promise.resolve());
  /** @type {any} for silence until the first use, for closing once destroyed */
  #timer;

  /**
   * @param {PooledConnectionOptions} options
   * @internal
   */
  constructor(options) {
    this.#connection = options.connection;
    this.#channel = options.channel;
    this.#clock = options.clock;
    this.#closeDelay = options.connectionCloseDelay;
    this.#maxMessageSize = options.maxMessageSize;
    this.#onUse = options.onUse;
    /** @type {Promise<void>} resolves when nothing more will be received or sent */
    this.closed = new Promise((resolve) => {
      this.#connection.on("close", (reason) => {
        this.#handleClose(reason);
        resolve();
      });
    });
    this.#timer = this.#clock.setTimeout(() => void this.destroy(), options.silentConnectionCloseTimeout);
    this.#readLoop().catch((error) => this.#connection.close(error));
  }

  /** @returns {string} the other side's name, or its UUID if it has not told a name that belongs to that */
  getRemotePeerId() {
    return this.#connection.peerName ?? this.#connection.peerId;
  }

  /** @returns {boolean} whether it is open and neither side has called `destroy()` */
  isAvailable() {
    return !this.#isDestroyed && this.#connection.isOpen;
  }

  /** Receives each message, complete and in order: JSON, or an `ArrayBuffer`. Earlier messages wait until it is set. */
  get ondata() {
    return this.#ondata;
  }

  set ondata(listener) {
    this.#ondata = listener;
    if (listener) this.#listening.resolve();
  }

  /**
   * @param {any} data JSON, an `ArrayBuffer` or a view of one, at most `maxMessageSize`
   * @param {((error?: Error) => void) | {signal?: AbortSignal}} [options] a callback, or a signal: a
   *   message that waits in the queue is then not sent; one whose sending has begun is sent completely
   * @returns {Promise<void>} resolves when the message is in the send buffer of 256 KiB
   * @throws {PeerError | AbortedError} the connection is not available, or broke
   */
  send(data, options = {}) {
    const callback = typeof options === "function" ? options : null;
    const sent = this.#send(data, callback ? undefined : /** @type {{signal?: AbortSignal}} */ (options).signal);
    if (callback) sent.then(() => callback(), callback);
    return sent;
  }

  /**
   * Closes the connection in order: what both sides have sent is delivered first, for at most
   * `connectionCloseDelay`.
   *
   * @returns {Promise<void>} resolves when it is closed
   */
  destroy() {
    this.#finish({ type: "fin" });
    return this.closed;
  }

  /** @param {{type: "fin" | "fin_ack"}} message the last one that this side sends */
  #finish(message) {
    if (this.#isDestroyed && message.type === "fin") return;
    this.#isDestroyed = true;
    this.#listening.resolve(); // the other side's `fin` has to be read even without a listener
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#connection.close(), this.#closeDelay);
    this.#enqueue(async () => this.#channel.send(message)).catch(() => this.#connection.close());
  }

  /**
   * @param {() => Promise<void>} step
   * @returns {Promise<void>}
   */
  #enqueue(step) {
    const done = this.#sendQueue.then(step);
    this.#sendQueue = done.catch(() => {}); // the sender gets the error; the next message may succeed
    return done;
  }

  /**
   * @param {any} data copied at once, because it may change while it waits in the queue
   * @param {AbortSignal} [signal]
   */
  async #send(data, signal) {
    if (!this.isAvailable()) {
      throw new PeerError("closed", `connection to ${this.getRemotePeerId()} is not available`);
    }
    const binary = copyOf(data);
    const json = binary ? "" : JSON.stringify(data, refuseBinary);
    if (json === undefined) throw new TypeError(`${typeof data} cannot be sent as json`);
    const bytes = binary ?? utf8(json);
    if (bytes.length > this.#maxMessageSize) {
      throw new RangeError(`message of ${bytes.length} bytes, the limit is ${this.#maxMessageSize}`);
    }
    const what = `message to ${this.getRemotePeerId()}`;
    const sent = this.#enqueue(async () => {
      if (signal?.aborted) throw new AbortedError(what);
      if (!binary && json.length <= SHORT_JSON_CHARS) this.#channel.send({ type: "data", json });
      else await this.#sendChunks(bytes, binary ? "bytes" : "json");
      this.#touch();
    });
    await abortable(sent, signal, what);
  }

  /**
   * @param {Uint8Array<ArrayBuffer>} bytes
   * @param {"bytes" | "json"} form
   */
  async #sendChunks(bytes, form) {
    this.#channel.send({ type: "pieces", form, length: bytes.length });
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) await this.#channel.sendBytes(bytes.subarray(at, at + CHUNK_BYTES));
  }

  async #readLoop() {
    for (;;) {
      const message = await this.#channel.expect(["data", "pieces", "fin", "fin_ack"]);
      // The other side has read all that this side has sent, and sends nothing after this.
      if (message.type === "fin_ack") return this.#connection.close();
      if (message.type === "fin") this.#finish({ type: "fin_ack" });
      else await this.#deliver(message.type === "data" ? JSON.parse(message.json) : await this.#readChunks(message));
    }
  }

  /**
   * @param {any} header
   * @returns {Promise<any>}
   */
  async #readChunks({ form, length }) {
    if (!Number.isInteger(length) || length < 0 || length > this.#maxMessageSize) {
      throw new ProtocolError(`message of ${length} bytes, the limit is ${this.#maxMessageSize}`);
    }
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const chunk = await this.#channel.receive();
      if (!(chunk instanceof ArrayBuffer)) throw new ProtocolError("got text between the chunks of a message");
      if (chunk.byteLength === 0 || chunk.byteLength > length - at) throw new ProtocolError("chunks exceed their message");
      bytes.set(new Uint8Array(chunk), at);
      at += chunk.byteLength;
    }
    return form === "json" ? JSON.parse(new TextDecoder().decode(bytes)) : bytes.buffer;
  }

  /** @param {any} data */
  async #deliver(data) {
    await this.#listening.promise;
    this.#touch();
    if (this.#ondata) callListener(this.#ondata, data);
  }

  #touch() {
    if (this.#isDestroyed) return;
    this.#clock.clearTimeout(this.#timer); // from now on the pool decides how long it is kept
    this.#onUse();
  }

  /** @param {Error} reason */
  #handleClose(reason) {
    this.#clock.clearTimeout(this.#timer);
    this.#listening.resolve();
    const isExpected = this.#isDestroyed;
    this.#isDestroyed = true;
    if (!isExpected && this.onerror) callListener(this.onerror, reason);
  }
}

/**
 * JSON would silently replace bytes by an object without them.
 *
 * @param {string} key
 * @param {any} value
 */
function refuseBinary(key, value) {
  if (value instanceof ArrayBuffer || value instanceof Blob || ArrayBuffer.isView(value)) {
    throw new TypeError(`binary data in ${JSON.stringify(key)} cannot be sent as json: send it on its own`);
  }
  return value;
}

/**
 * @param {any} data
 * @returns {Uint8Array<ArrayBuffer> | null} null when it is not binary
 */
function copyOf(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice());
  if (!ArrayBuffer.isView(data)) return null;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
}
