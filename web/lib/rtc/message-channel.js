/**
 * Messages over one ordered data channel, read one after the other with `next()`:
 * JSON as text, pieces of files as bytes. Bounded both ways. What the messages mean is
 * decided by those who hold the link (proof.js, sender.js, receiver.js).
 */

import { onAbort } from "../util/abort.js";
import { Changes } from "../util/condition.js";
import { systemClock } from "../util/clock.js";
import { AbortedError, PeerError, ProtocolError, TimeoutError } from "../util/errors.js";

/** More in the queue makes browsers burst, lose packets and stall (bytes). */
const QUEUE_LIMIT = 256 * 1024;
const QUEUE_LOW = 128 * 1024;
/** What may wait to be read; a receiver asks for far less than this at a time. */
const INBOX_BYTES = 8 * 1024 * 1024;
const INBOX_MESSAGES = 4_096;
const TEXT_LIMIT = 64 * 1024;
/** Signs of life are the link's own: whoever reads it does not get to see them. */
const PING = JSON.stringify({ type: "ping" });
const PONG = JSON.stringify({ type: "pong" });

/** @typedef {{type: string, [key: string]: any}} Control */
/**
 * @typedef {Pick<RTCDataChannel, "readyState" | "bufferedAmount" | "bufferedAmountLowThreshold"
 *   | "binaryType" | "close" | "addEventListener"> & {send(data: string | ArrayBufferView): void}} DataChannel
 */

export class Link {
  #channel;
  #clock;
  /** @type {Array<string | ArrayBuffer>} */
  #inbox = [];
  #inboxBytes = 0;
  #heard = 0;
  #pongs = 0;
  /** Why nothing more will come; read messages first, then this. */
  #ended = /** @type {Error | null} */ (null);
  /** Something arrived, drained or ended. */
  #changes = new Changes();

  /**
   * @param {DataChannel} channel ordered and reliable
   * @param {object} [options]
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(channel, { clock = systemClock } = {}) {
    this.#channel = channel;
    this.#clock = clock;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = QUEUE_LOW;
    channel.addEventListener("message", (event) => this.#receive(/** @type {MessageEvent} */ (event).data));
    channel.addEventListener("bufferedamountlow", () => this.#changes.wake());
    channel.addEventListener("close", () => {
      this.#end(new PeerError("lost", "data channel closed by the other side or by the network"));
    });
  }

  /**
   * @param {Control} message
   * @throws {PeerError} when the link has ended
   */
  send(message) {
    this.#assertOpen();
    this.#channel.send(JSON.stringify(message));
  }

  /**
   * Sends when the queue has room for it.
   *
   * @param {Uint8Array<ArrayBuffer>} bytes at most 64 KiB, which every browser accepts
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] ends the waiting for room; the bytes are not sent then
   * @returns {Promise<void>} when it was queued
   * @throws {PeerError | AbortedError} when the link has ended
   */
  async sendBytes(bytes, { signal } = {}) {
    const unlisten = onAbort(signal, () => this.#changes.wake());
    try {
      for (;;) {
        if (signal?.aborted) throw new AbortedError("sending");
        this.#assertOpen();
        if (this.#channel.bufferedAmount + bytes.length <= QUEUE_LIMIT) return this.#channel.send(bytes);
        await this.#changes.next();
      }
    } finally {
      unlisten();
    }
  }

  /**
   * @param {object} [options]
   * @param {number} [options.timeout] ms (default: no limit)
   * @param {AbortSignal} [options.signal] ends the waiting; what comes then is the next reader's
   * @returns {Promise<Control | ArrayBuffer>} the next message, in order
   * @throws {PeerError} the link ended and everything was read
   * @throws {TimeoutError | AbortedError | ProtocolError}
   */
  async next({ timeout, signal } = {}) {
    let expired = false;
    const expire = () => {
      expired = true;
      this.#changes.wake();
    };
    const timer = timeout === undefined ? undefined : this.#clock.setTimeout(expire, timeout);
    const unlisten = onAbort(signal, () => this.#changes.wake());
    try {
      while (this.#inbox.length === 0) {
        if (this.#ended) throw this.#ended;
        if (signal?.aborted) throw new AbortedError("reading");
        if (expired) throw new TimeoutError("the other side", timeout ?? 0);
        await this.#changes.next();
      }
    } finally {
      this.#clock.clearTimeout(timer);
      unlisten();
    }
    return this.#take();
  }

  /**
   * Reads one control message of the types given; anything else breaks the protocol.
   *
   * @param {string[]} types
   * @param {{timeout?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<Control>}
   */
  async expect(types, options) {
    const message = await this.next(options);
    if (message instanceof ArrayBuffer) {
      throw new ProtocolError(`got ${message.byteLength} bytes, expected ${types.join(" or ")}`);
    }
    if (!types.includes(message.type)) {
      throw new ProtocolError(`got message ${message.type}, expected ${types.join(" or ")}`);
    }
    return message;
  }

  /**
   * Asks the other end for a sign of life, when there is reason to doubt: a browser that
   * dies amid a transfer often leaves its channel looking open for a quarter of a minute.
   *
   * @param {number} [timeout] ms of silence that count as death (default 1500)
   * @returns {Promise<boolean>} whether it lives
   */
  async probe(timeout = 1_500) {
    if (this.#ended || this.#channel.readyState !== "open") return false;
    const pongs = this.#pongs;
    this.#channel.send(PING);
    let heard;
    do {
      // The answer may have to queue behind a piece; as long as anything comes, it lives.
      heard = this.#heard;
      await new Promise((resolve) => this.#clock.setTimeout(() => resolve(undefined), timeout));
      if (this.#ended) return false;
      if (this.#pongs > pongs) return true;
    } while (this.#heard > heard);
    return false;
  }

  /**
   * Ends the link; what was sent before still arrives.
   *
   * @param {Error} [reason] what readers and writers get from now on
   */
  close(reason = new PeerError("closed", "link closed on this side")) {
    this.#end(reason);
    this.#channel.close();
  }

  #assertOpen() {
    if (this.#ended) throw this.#ended;
    if (this.#channel.readyState !== "open") throw new PeerError("lost", "data channel is not open");
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    if (this.#ended) return;
    this.#heard += 1;
    if (data === PONG) this.#pongs += 1;
    else if (data === PING) this.#pong();
    else this.#keep(data);
  }

  #pong() {
    // Who asks without reading the answers gets no more of them.
    if (this.#channel.readyState === "open" && this.#channel.bufferedAmount <= QUEUE_LIMIT) this.#channel.send(PONG);
  }

  /** @param {string | ArrayBuffer} data */
  #keep(data) {
    const length = typeof data === "string" ? data.length : data.byteLength;
    const tooLong = typeof data === "string" && length > TEXT_LIMIT;
    const flooded = this.#inboxBytes + length > INBOX_BYTES || this.#inbox.length >= INBOX_MESSAGES;
    if (tooLong || flooded) {
      return this.close(new ProtocolError(`other side sent more than was asked for (${length} more)`));
    }
    this.#inbox.push(data);
    this.#inboxBytes += length;
    this.#changes.wake();
  }

  #take() {
    const data = this.#inbox.shift() ?? "";
    this.#inboxBytes -= typeof data === "string" ? data.length : data.byteLength;
    return typeof data === "string" ? parse(data) : data;
  }

  /** @param {Error} reason */
  #end(reason) {
    this.#ended ??= reason;
    this.#changes.wake();
  }
}

/**
 * @param {string} text
 * @returns {Control}
 */
function parse(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    throw new ProtocolError(`text message of ${text.length} characters is not json`);
  }
  if (typeof message?.type !== "string") throw new ProtocolError("control message has no type");
  return message;
}
