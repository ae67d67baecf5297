/**
 * Messages over one ordered data channel, which are read one by one with `receive()`: control messages
 * as JSON text, contents of files as bytes. The buffers in both directions are bounded.
 */

import { onAbort } from "../util/abort.js";
import { systemClock } from "../util/clock.js";
import { Condition } from "../util/condition.js";
import { deferred } from "../util/deferred.js";
import { AbortedError, ProtocolError, TimeoutError } from "../util/errors.js";
import { excerpt } from "../util/excerpt.js";
import { PeerError } from "./errors.js";

/** With more in the send buffer, browsers send in bursts, lose packets and stall (bytes). */
const SEND_BUFFER_LIMIT = 256 * 1024;
const SEND_BUFFER_LOW = 128 * 1024;
/** The limits of messages that are not read yet; a receiver requests far fewer bytes at a time. */
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;
const RECEIVE_BUFFER_MESSAGES = 4_096;
const TEXT_LIMIT = 64 * 1024;
/** Pings and pongs are handled here and not passed to the reader. */
const PING = JSON.stringify({ type: "ping" });
const PONG = JSON.stringify({ type: "pong" });

/** @typedef {{type: string, [key: string]: any}} ControlMessage */
/**
 * The part of an `RTCDataChannel` that is needed here.
 *
 * @typedef {object} DataChannel
 * @property {string} readyState
 * @property {number} bufferedAmount
 * @property {number} bufferedAmountLowThreshold
 * @property {"blob" | "arraybuffer"} binaryType
 * @property {() => void} close
 * @property {(type: string, listener: (event: any) => void) => void} addEventListener
 * @property {(data: any) => void} send a text or bytes
 */

export class RtcMessageChannel {
  #dataChannel;
  #clock;
  /** @type {Array<string | ArrayBuffer>} */
  #received = [];
  #receivedBytes = 0;
  /** Counts all messages, including pings and pongs. */
  #messageCount = 0;
  #pongCount = 0;
  /** Why the channel has ended. Messages that arrived before are still read. */
  #endReason = /** @type {Error | null} */ (null);
  /** @type {import("../util/deferred.js").Deferred<void>} */
  #closed = deferred();
  /** Notified when a message arrives, the send buffer drains, or the channel ends. */
  #changed = new Condition();

  /**
   * @param {DataChannel} dataChannel ordered and reliable
   * @param {object} [options]
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(dataChannel, { clock = systemClock } = {}) {
    this.#dataChannel = dataChannel;
    this.#clock = clock;
    dataChannel.binaryType = "arraybuffer";
    dataChannel.bufferedAmountLowThreshold = SEND_BUFFER_LOW;
    dataChannel.addEventListener("message", (event) => this.#handle(/** @type {MessageEvent} */ (event).data));
    dataChannel.addEventListener("bufferedamountlow", () => this.#changed.notify());
    dataChannel.addEventListener("close", () => {
      this.#closed.resolve();
      this.#end(new PeerError("lost", "data channel closed by the other side or by the network"));
    });
  }

  /** @returns {boolean} whether messages can still be sent */
  get isOpen() {
    return this.#endReason === null && this.#dataChannel.readyState === "open";
  }

  /** @returns {number} what was sent, and waits for the network */
  get bufferedBytes() {
    return this.#dataChannel.bufferedAmount;
  }

  /** @returns {Promise<void>} resolves when the channel is closed, and what was sent before has arrived or is lost */
  get closed() {
    return this.#closed.promise;
  }

  /**
   * @param {ControlMessage} message
   * @throws {PeerError} the channel has ended
   */
  send(message) {
    this.#assertOpen();
    this.#dataChannel.send(JSON.stringify(message));
  }

  /**
   * Sends as soon as the send buffer has room.
   *
   * @param {Uint8Array<ArrayBuffer>} bytes at most 64 KiB, which every browser accepts
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] stops waiting for room; the bytes are then not sent
   * @returns {Promise<void>} resolves when the bytes are in the send buffer
   * @throws {PeerError | AbortedError} the channel has ended
   */
  sendBytes(bytes, { signal } = {}) {
    return this.#sendWithRoom(bytes, bytes.length, signal);
  }

  /**
   * Sends as soon as the send buffer has room, for messages of which the other side can cause any number.
   *
   * @param {ControlMessage} message
   * @returns {Promise<void>} resolves when the message is in the send buffer
   * @throws {PeerError} the channel has ended
   */
  sendPaced(message) {
    const text = JSON.stringify(message);
    return this.#sendWithRoom(text, text.length);
  }

  /**
   * @param {string | Uint8Array<ArrayBuffer>} data
   * @param {number} length
   * @param {AbortSignal} [signal]
   */
  async #sendWithRoom(data, length, signal) {
    const removeListener = onAbort(signal, () => this.#changed.notify());
    try {
      for (;;) {
        if (signal?.aborted) throw new AbortedError("sending");
        this.#assertOpen();
        if (this.#dataChannel.bufferedAmount + length <= SEND_BUFFER_LIMIT) return this.#dataChannel.send(data);
        await this.#changed.wait();
      }
    } finally {
      removeListener();
    }
  }

  /**
   * @param {object} [options]
   * @param {number} [options.timeout] ms (default: no limit)
   * @param {AbortSignal} [options.signal] stops waiting; the next message goes to the next reader
   * @returns {Promise<ControlMessage | ArrayBuffer>} the next message, in order
   * @throws {PeerError} the channel has ended and all messages were read
   * @throws {TimeoutError | AbortedError | ProtocolError}
   */
  async receive({ timeout, signal } = {}) {
    let isExpired = false;
    const expire = () => {
      isExpired = true;
      this.#changed.notify();
    };
    const timer = timeout === undefined ? undefined : this.#clock.setTimeout(expire, timeout);
    const removeListener = onAbort(signal, () => this.#changed.notify());
    try {
      while (this.#received.length === 0) {
        if (this.#endReason) throw this.#endReason;
        if (signal?.aborted) throw new AbortedError("receiving");
        if (isExpired) throw new TimeoutError("the other side", timeout ?? 0);
        await this.#changed.wait();
      }
    } finally {
      this.#clock.clearTimeout(timer);
      removeListener();
    }
    return this.#shift();
  }

  /**
   * Receives a control message of one of the given types.
   *
   * @param {string[]} types
   * @param {{timeout?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<ControlMessage>}
   * @throws {ProtocolError} the next message is bytes, or has another type
   */
  async expect(types, options) {
    const message = await this.receive(options);
    if (message instanceof ArrayBuffer) {
      throw new ProtocolError(`got ${message.byteLength} bytes, expected ${types.join(" or ")}`);
    }
    if (!types.includes(message.type)) {
      throw new ProtocolError(`got message ${excerpt(message.type)}, expected ${types.join(" or ")}`);
    }
    return message;
  }

  /**
   * Pings the other side, when it may be dead: after a browser was killed during a transfer, its channel
   * often looks open for a quarter of a minute.
   *
   * @param {number} [timeout] ms of silence that count as death (default 1500)
   * @returns {Promise<boolean>} whether the other side is alive
   */
  async probe(timeout = 1_500) {
    if (this.#endReason || this.#dataChannel.readyState !== "open") return false;
    const pongs = this.#pongCount;
    this.#dataChannel.send(PING);
    let messages;
    do {
      // The pong may queue behind the bytes of a piece, so any message counts as a sign of life.
      messages = this.#messageCount;
      await new Promise((resolve) => this.#clock.setTimeout(() => resolve(undefined), timeout));
      if (this.#endReason) return false;
      if (this.#pongCount > pongs) return true;
    } while (this.#messageCount > messages);
    return false;
  }

  /**
   * Closes the channel. What was sent before still arrives.
   *
   * @param {Error} [reason] thrown to readers and writers from now on
   */
  close(reason = new PeerError("closed", "channel closed on this side")) {
    this.#end(reason);
    this.#dataChannel.close();
  }

  #assertOpen() {
    if (this.#endReason) throw this.#endReason;
    if (this.#dataChannel.readyState !== "open") throw new PeerError("lost", "data channel is not open");
  }

  /** @param {string | ArrayBuffer} data */
  #handle(data) {
    if (this.#endReason) return;
    this.#messageCount += 1;
    if (data === PONG) this.#pongCount += 1;
    else if (data === PING) this.#sendPong();
    else this.#push(data);
  }

  #sendPong() {
    // A peer that sends pings without reading the pongs gets no more of them.
    if (this.#dataChannel.readyState === "open" && this.#dataChannel.bufferedAmount <= SEND_BUFFER_LIMIT) this.#dataChannel.send(PONG);
  }

  /** @param {string | ArrayBuffer} data */
  #push(data) {
    const length = typeof data === "string" ? data.length : data.byteLength;
    const isTooLong = typeof data === "string" && length > TEXT_LIMIT;
    const isFull = this.#receivedBytes + length > RECEIVE_BUFFER_BYTES || this.#received.length >= RECEIVE_BUFFER_MESSAGES;
    if (isTooLong || isFull) {
      return this.close(new ProtocolError(`other side sent more than was requested (${length} more)`));
    }
    this.#received.push(data);
    this.#receivedBytes += length;
    this.#changed.notify();
  }

  #shift() {
    const data = this.#received.shift() ?? "";
    this.#receivedBytes -= typeof data === "string" ? data.length : data.byteLength;
    return typeof data === "string" ? parse(data) : data;
  }

  /** @param {Error} reason */
  #end(reason) {
    this.#endReason ??= reason;
    this.#changed.notify();
  }
}

/**
 * @param {string} text
 * @returns {ControlMessage}
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
