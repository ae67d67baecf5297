/**
 * One connection of a pool: whole messages of any size over a link, and an orderly end
 * after which everything that was sent has arrived. Which connections are kept is pool.js's.
 */

import { unlessAborted } from "../../util/abort.js";
import { utf8 } from "../../util/bytes.js";
import { AbortedError, PeerError, ProtocolError } from "../../util/errors.js";

/** What every browser accepts in one message (bytes). */
const PIECE = 64 * 1024;
/** Texts up to this length go as they are; a character has at most three bytes. */
const SHORT = 16 * 1024;

/** @typedef {import("../connection.js").Connection} Connection */
/** @typedef {import("../message-channel.js").Link} Link */

/**
 * @typedef {object} PooledOptions
 * @property {Connection} connection open
 * @property {Link} link its link, which nobody else reads
 * @property {import("../../util/clock.js").Clock} clock
 * @property {number} connectionCloseDelay ms
 * @property {number} silentConnectionCloseTimeout ms
 * @property {number} maxMessageSize bytes
 * @property {() => void} used called whenever data was sent or received
 */

/**
 * Life: open, `destroy()` on either side, closed. `isAvailable()` is false from `destroy`
 * on; what the other side has sent until then still comes to `ondata`.
 */
export class PooledConnection {
  /** @type {((error: Error) => void) | null} the connection broke; it is closed */
  onerror = null;
  #connection;
  #link;
  #clock;
  #closeDelay;
  #silentTimeout;
  #maxMessageSize;
  #used;
  #destroyed = false;
  /** @type {((data: any) => void) | null} */
  #ondata = null;
  #listened = () => {};
  /** No data is handed over before somebody listens; it waits in the link. */
  #listening = new Promise((resolve) => (this.#listened = () => resolve(undefined)));
  /** Messages are sent one after the other, pieces unmixed. */
  #sending = /** @type {Promise<any>} */ (Promise.resolve());
  /** @type {any} of silence while open, of closing once destroyed */
  #timer;

  /** @param {PooledOptions} options */
  constructor(options) {
    this.#connection = options.connection;
    this.#link = options.link;
    this.#clock = options.clock;
    this.#closeDelay = options.connectionCloseDelay;
    this.#silentTimeout = options.silentConnectionCloseTimeout;
    this.#maxMessageSize = options.maxMessageSize;
    this.#used = options.used;
    /** @type {Promise<void>} when nothing more will arrive or be sent */
    this.closed = new Promise((resolve) => {
      this.#connection.on("close", (reason) => {
        this.#ended(reason);
        resolve();
      });
    });
    this.#watchSilence();
    this.#read().catch((error) => this.#connection.close(error));
  }

  /** @returns {string} */
  getRemotePeerId() {
    return this.#connection.peerId;
  }

  /** @returns {boolean} whether it is open and nobody has begun to end it */
  isAvailable() {
    return !this.#destroyed && this.#connection.isOpen;
  }

  /** Gets each message, whole and in order: JSON, or an `ArrayBuffer`. What came before it is set, waits. */
  get ondata() {
    return this.#ondata;
  }

  set ondata(listener) {
    this.#ondata = listener;
    if (listener) this.#listened();
  }

  /**
   * @param {any} data JSON, an `ArrayBuffer` or a view of one, at most `maxMessageSize`
   * @param {((error?: Error) => void) | {signal?: AbortSignal}} [options] a callback, or a signal:
   *   given up before its turn came, it is never sent; after that, it is sent whole
   * @returns {Promise<void>} when it was handed to the network, which may keep 256 KiB
   * @throws {PeerError | AbortedError} the connection is not available, or broke
   */
  send(data, options = {}) {
    const callback = typeof options === "function" ? options : null;
    const sent = this.#send(data, callback ? undefined : /** @type {{signal?: AbortSignal}} */ (options).signal);
    if (callback) sent.then(() => callback(), callback);
    return sent;
  }

  /**
   * Ends it in order: what both sides have sent arrives, for which `connectionCloseDelay`
   * is the limit.
   *
   * @returns {Promise<void>} when it is closed
   */
  destroy() {
    this.#finish({ type: "fin" });
    return this.closed;
  }

  /** @param {{type: "fin" | "fin_ack"}} word after which this side sends nothing */
  #finish(word) {
    if (this.#destroyed && word.type === "fin") return;
    this.#destroyed = true;
    this.#listened(); // the other side's end has to be read, whether or not somebody listens
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#connection.close(), this.#closeDelay);
    this.#inTurn(async () => this.#link.send(word)).catch(() => this.#connection.close());
  }

  /**
   * @param {() => Promise<void>} step
   * @returns {Promise<void>}
   */
  #inTurn(step) {
    const done = this.#sending.then(step);
    this.#sending = done.catch(() => {}); // told to whoever sent it; the next may do better
    return done;
  }

  /**
   * @param {any} data copied at once: it may change before its turn comes
   * @param {AbortSignal} [signal]
   */
  async #send(data, signal) {
    if (!this.isAvailable()) {
      throw new PeerError("closed", `connection to ${this.getRemotePeerId()} is not available`);
    }
    const bytes = copyOf(data);
    const json = bytes ? "" : JSON.stringify(data);
    if (json === undefined) throw new TypeError(`${typeof data} cannot be sent as json`);
    const pieces = bytes ?? utf8(json);
    if (pieces.length > this.#maxMessageSize) {
      throw new RangeError(`message of ${pieces.length} bytes, the limit is ${this.#maxMessageSize}`);
    }
    const what = `message to ${this.getRemotePeerId()}`;
    const turn = this.#inTurn(async () => {
      if (signal?.aborted) throw new AbortedError(what);
      if (!bytes && json.length <= SHORT) this.#link.send({ type: "data", json });
      else await this.#sendPieces(pieces, bytes ? "bytes" : "json");
      this.#touch();
    });
    await unlessAborted(turn, signal, what);
  }

  /**
   * @param {Uint8Array<ArrayBuffer>} bytes
   * @param {"bytes" | "json"} form
   */
  async #sendPieces(bytes, form) {
    this.#link.send({ type: "pieces", form, length: bytes.length });
    for (let at = 0; at < bytes.length; at += PIECE) await this.#link.sendBytes(bytes.subarray(at, at + PIECE));
  }

  async #read() {
    for (;;) {
      const message = await this.#link.expect(["data", "pieces", "fin", "fin_ack"]);
      // All that this side has sent was read, and all of the other side's came before it.
      if (message.type === "fin_ack") return this.#connection.close();
      if (message.type === "fin") this.#finish({ type: "fin_ack" });
      else await this.#deliver(message.type === "data" ? JSON.parse(message.json) : await this.#readPieces(message));
    }
  }

  /**
   * @param {any} header
   * @returns {Promise<any>}
   */
  async #readPieces({ form, length }) {
    if (!Number.isInteger(length) || length < 0 || length > this.#maxMessageSize) {
      throw new ProtocolError(`message of ${length} bytes, the limit is ${this.#maxMessageSize}`);
    }
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const piece = await this.#link.next();
      if (!(piece instanceof ArrayBuffer)) throw new ProtocolError("text amid the pieces of a message");
      if (piece.byteLength === 0 || piece.byteLength > length - at) throw new ProtocolError("pieces exceed their message");
      bytes.set(new Uint8Array(piece), at);
      at += piece.byteLength;
    }
    return form === "json" ? JSON.parse(new TextDecoder().decode(bytes)) : bytes.buffer;
  }

  /** @param {any} data */
  async #deliver(data) {
    await this.#listening;
    this.#touch();
    this.#tell(this.#ondata, data);
  }

  #touch() {
    if (this.#destroyed) return;
    this.#watchSilence();
    this.#used();
  }

  #watchSilence() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(() => void this.destroy(), this.#silentTimeout);
  }

  /** @param {Error} reason */
  #ended(reason) {
    this.#clock.clearTimeout(this.#timer);
    this.#listened();
    const expected = this.#destroyed;
    this.#destroyed = true;
    if (!expected) this.#tell(this.onerror, reason);
  }

  /**
   * @template T
   * @param {((value: T) => void) | null} listener
   * @param {T} value
   */
  #tell(listener, value) {
    try {
      listener?.(value);
    } catch (error) {
      // A listener's fault must reach the console and must not end the connection.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/**
 * @param {any} data
 * @returns {Uint8Array<ArrayBuffer> | null} null for what is not binary
 */
function copyOf(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice());
  if (!ArrayBuffer.isView(data)) return null;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
}
