/**
 * The sharer's end of one authenticated message channel: it sends the list of files and answers the
 * receiver's requests. It holds two pieces or batches in memory for each receiver: one that is being
 * sent, and the next one. protocol.js describes the messages.
 */

import { toBase64url } from "../util/bytes.js";
import { systemClock } from "../util/clock.js";
import { Emitter } from "../util/emitter.js";
import { ProtocolError } from "../util/errors.js";
import { excerpt } from "../util/excerpt.js";
import { TokenBucket } from "../util/token-bucket.js";
import { answerBatch } from "./batch-answer.js";
import { parseDevice } from "./device.js";
import { TransferError } from "./errors.js";
import { pieceCount } from "./piece-layout.js";
import { PieceReader } from "./piece-reader.js";
import { END_MESSAGES, MAX_PREVIEWS, MESSAGE_BYTES, TRANSFER_STATES } from "./protocol.js";

/** A message of the list has to stay below 64 KiB, whatever its characters take in UTF-8. */
const LIST_MESSAGE_CHARS = 12 * 1024;
/** How many progress reports a receiver may send at once, and the time until one more (ms). */
const REPORTS = { burst: 200, interval: 100 };

/** @typedef {import("../rtc/message-channel.js").ControlMessage} ControlMessage */
/** @typedef {import("./device.js").Device} Device */
/** @typedef {import("./protocol.js").ProgressReport} ProgressReport */
/** @typedef {{message: object, bytes?: Uint8Array<ArrayBuffer>}} Answer */

/**
 * Events: `progress` with the receiver's report; `device` with what it says that it is; `sent` when a part of a file is
 * on its way.
 *
 * @extends {Emitter<{progress: [ProgressReport], device: [Device | null], sent: []}>}
 */
export class Sender extends Emitter {
  #channel;
  #catalogue;
  #device;
  #hasHeardDevice = false;
  #reader = new PieceReader();
  #reports;
  #previewCount = 0;
  /** @type {Promise<void>} sends one preview after the other */
  #previewQueue = Promise.resolve();
  #isOver = false;
  #isSendingList = false;
  #isListOutdated = false;

  /**
   * @param {import("../rtc/message-channel.js").RtcMessageChannel} channel on which `prove` has succeeded
   * @param {import("./catalogue.js").Catalogue} catalogue
   * @param {object} [options]
   * @param {Device | null} [options.device] of this side, for the receiver
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(channel, catalogue, { device = null, clock = systemClock } = {}) {
    super();
    this.#device = device;
    this.#reports = new TokenBucket({ ...REPORTS, clock });
    this.#channel = channel;
    this.#catalogue = catalogue;
  }

  /**
   * Serves the receiver until the channel ends.
   *
   * @returns {Promise<never>}
   * @throws {import("../rtc/errors.js").PeerError | ProtocolError} why it ended
   */
  async run() {
    const removeListener = this.#catalogue.on("change", () => void this.#sendList());
    void this.#sendList();
    let next = this.#nextAnswer();
    try {
      for (;;) {
        const answer = await next;
        // The next piece is read while this one is sent.
        next = this.#nextAnswer();
        next.catch(() => {}); // thrown by the next iteration, unless this one fails first
        await this.#sendAnswer(answer);
      }
    } finally {
      this.#isOver = true;
      removeListener();
      next.catch(() => {}).then(() => this.#reader.close());
    }
  }

  /**
   * Ends the transfer and tells the receiver.
   *
   * @param {import("./protocol.js").EndReason} reason
   * @returns {Promise<void>} resolves when the receiver knows it, or is gone
   */
  stop(reason = "cancelled") {
    try {
      this.#channel.send({ type: "end", ...END_MESSAGES[reason] });
    } catch {
      // The channel has ended already.
    }
    this.#channel.close();
    return this.#channel.closed;
  }

  /** @returns {number} what was sent, and waits for the network */
  get bufferedBytes() {
    return this.#channel.bufferedBytes;
  }

  /** Sends one list after the other, and only the latest one of those that are waiting. */
  async #sendList() {
    this.#isListOutdated = true;
    if (this.#isSendingList) return;
    this.#isSendingList = true;
    while (this.#isListOutdated) {
      this.#isListOutdated = false;
      for (const message of listMessages(this.#catalogue.entries, this.#device)) await this.#trySend(message);
    }
    this.#isSendingList = false;
  }

  /** @param {ControlMessage} message */
  async #trySend(message) {
    try {
      await this.#channel.sendPaced(message);
    } catch {
      // The channel has ended: `run` throws the reason.
    }
  }

  /** @returns {Promise<Answer>} to the next request */
  async #nextAnswer() {
    for (;;) {
      const message = await this.#channel.expect(["pull", "batch", "stored", "progress", "preview", "device"]);
      if (message.type === "progress") this.#handleReport(message);
      else if (message.type === "device") this.#handleDevice(message);
      else if (message.type === "batch") return answerBatch(this.#catalogue, message.files);
      else if (typeof message.id !== "string") throw new ProtocolError(`got ${message.type} without an id`);
      else if (message.type === "preview") this.#sendPreview(message);
      else return this.#answer(message);
    }
  }

  /** @param {ControlMessage} message */
  #handleReport(message) {
    // Each report is shown, and a receiver sends at most four a second, besides changes of its state.
    if (!this.#reports.take()) throw new ProtocolError("too many progress reports");
    this.emit("progress", parseReport(message));
  }

  /** @param {ControlMessage} message */
  #handleDevice({ device }) {
    if (this.#hasHeardDevice) throw new ProtocolError("got a second device");
    this.#hasHeardDevice = true;
    this.emit("device", parseDevice(device));
  }

  /** @param {ControlMessage} request */
  #sendPreview({ id }) {
    this.#previewCount += 1;
    if (this.#previewCount > MAX_PREVIEWS) throw new ProtocolError(`more than ${MAX_PREVIEWS} previews were requested`);
    this.#previewQueue = this.#previewQueue.then(async () => {
      if (this.#isOver) return;
      const jpeg = await this.#catalogue.preview(id).catch(() => null); // it was removed, or this page is offline
      await this.#trySend({ type: "preview", id, image: jpeg && toBase64url(jpeg) });
    });
  }

  /** @param {ControlMessage} request */
  async #answer({ type, id, piece, have, root }) {
    try {
      return type === "pull" ? await this.#readPiece(id, piece, have) : await this.#compareRoot(id, root);
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      return { message: { type: "failed", id, reason: error.reason } };
    }
  }

  /**
   * @param {string} id
   * @param {any} piece
   * @param {any} have
   * @returns {Promise<Answer>}
   */
  async #readPiece(id, piece, have) {
    const entry = this.#catalogue.entry(id);
    if (!entry) throw new TransferError("removed", `file ${excerpt(id)} is not shared`);
    const pieces = pieceCount(entry.size);
    if (!Number.isInteger(piece) || piece < 0 || piece >= pieces) {
      throw new ProtocolError(`piece ${excerpt(piece)} was requested, the file has ${pieces}`);
    }
    const { bytes, sha256 } = await this.#catalogue.readPiece(id, piece, this.#reader);
    if (have === sha256) {
      this.#reader.release(bytes);
      return { message: { type: "same", id, piece } };
    }
    return { message: { type: "piece", id, piece, length: bytes.length, sha256 }, bytes };
  }

  /**
   * @param {string} id
   * @param {any} root
   * @returns {Promise<Answer>}
   */
  async #compareRoot(id, root) {
    const own = await this.#catalogue.rootHash(id, () => this.#channel.isOpen);
    if (root !== own) throw new TransferError("changed", `receiver stored ${excerpt(root)}, file ${id} is ${own}`);
    return { message: { type: "agreed", id } };
  }

  /** @param {Answer} answer */
  async #sendAnswer({ message, bytes }) {
    await this.#channel.sendPaced(/** @type {ControlMessage} */ (message));
    if (!bytes) return;
    for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) {
      await this.#channel.sendBytes(bytes.subarray(at, at + MESSAGE_BYTES));
      this.emit("sent");
    }
    this.#reader.release(bytes);
  }
}

/**
 * @param {import("./file-entry.js").FileEntry[]} entries
 * @param {Device | null} device
 * @returns {ControlMessage[]}
 */
function listMessages(entries, device) {
  const messages = [];
  /** @type {object[]} */
  let part = [];
  let chars = 0;
  for (const entry of entries) {
    const length = JSON.stringify(entry).length;
    if (chars + length > LIST_MESSAGE_CHARS && part.length > 0) {
      messages.push({ type: "list", entries: part, last: false, device });
      part = [];
      chars = 0;
    }
    part.push(entry);
    chars += length;
  }
  return [...messages, { type: "list", entries: part, last: true, device }];
}

/**
 * @param {ControlMessage} message
 * @returns {ProgressReport}
 */
function parseReport({ state, written, total, failed }) {
  const isCount = (/** @type {any} */ value) => Number.isSafeInteger(value) && value >= 0;
  if (!TRANSFER_STATES.includes(state) || !isCount(written) || !isCount(total) || written > total || !isCount(failed)) {
    throw new ProtocolError(`invalid progress: ${excerpt(state)} ${excerpt(written)} of ${excerpt(total)}`);
  }
  return { state, written, total, failed };
}
