/**
 * The receiver's end of one authenticated message channel: the list of files, and requests with their
 * answers, which arrive in request order. download.js decides what is requested and where the bytes are
 * stored; protocol.js describes the messages.
 */

import { PeerError } from "../rtc/errors.js";
import { systemClock } from "../util/clock.js";
import { deferred } from "../util/deferred.js";
import { Emitter } from "../util/emitter.js";
import { ProtocolError } from "../util/errors.js";
import { excerpt } from "../util/excerpt.js";
import { parseDevice } from "./device.js";
import { TransferError } from "./errors.js";
import { FileListReader, createFinder, sanitizeList } from "./file-list.js";
import { pieceHash } from "./piece-hash.js";
import { PIECE_BYTES, pieceLength } from "./piece-layout.js";
import { FILE_FAILURES, MAX_PREVIEWS, MIN_MESSAGE_BYTES } from "./protocol.js";

/** Of a list that changes more often, only the latest state is shown (ms): a long one takes time to show. */
const LIST_INTERVAL = 1_000;

/** @typedef {import("../rtc/message-channel.js").ControlMessage} ControlMessage */
/** @typedef {import("./file-entry.js").FileEntry} FileEntry */
/** @typedef {{bytes: Uint8Array<ArrayBuffer>, sha256: string}} VerifiedPiece a piece with its correct hash */
/** @typedef {VerifiedPiece | "same" | "agreed"} Reply */
/** @typedef {{entry: FileEntry, storedHash?: string}} WantedFile storedHash: of the file that is stored already */
/** @typedef {VerifiedPiece | "same" | TransferError} FileReply of a file in a batch */

/**
 * @typedef {object} PendingRequest
 * @property {string} [id] none: the request is a batch
 * @property {(message: ControlMessage) => Promise<any>} read reads the reply that begins with this message
 * @property {(reply: any) => void} resolve
 * @property {(error: Error) => void} reject
 */

/**
 * Events: `list`, when the list of files has changed; `end`, once, when the channel has ended. The paths
 * of the entries are sanitized.
 *
 * @extends {Emitter<{list: [FileEntry[]], end: [Error]}>}
 */
export class Receiver extends Emitter {
  /** What the sender says that it is; null: it has not said so, or runs an older version. @type {import("./device.js").Device | null} */
  sender = null;
  #channel;
  #device;
  #hasToldDevice = false;
  #clock;
  #stallTimeout;
  /** @type {FileEntry[]} */
  #entries = [];
  /** @type {((entry: FileEntry) => FileEntry | undefined) | null} of the entries, made when it is needed */
  #finder = null;
  #listReader = new FileListReader();
  /** @type {FileEntry[] | null} a list that is complete and not shown yet, as received */
  #nextList = null;
  #listShownAt = -Infinity;
  #listTimer = /** @type {any} */ (null);
  /** @type {PendingRequest[]} */
  #requests = [];
  #stallTimer = /** @type {any} */ (null);
  /** When the last message arrived, or the first request was sent. */
  #lastActivity = 0;
  #endReason = /** @type {Error | null} */ (null);
  /** @type {Uint8Array<ArrayBuffer>[]} reusable buffers: allocating one costs more than filling it */
  #spareBuffers = [];
  /** @type {Map<string, import("../util/deferred.js").Deferred<unknown>>} the images, by the entry's id */
  #previews = new Map();

  /**
   * @param {import("../rtc/message-channel.js").RtcMessageChannel} channel on which `prove` has succeeded
   * @param {object} [options]
   * @param {import("./device.js").Device | null} [options.device] of this side, for the sender
   * @param {number} [options.stallTimeout] ms without a message while requests are pending (default 30 000)
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(channel, { device = null, stallTimeout = 30_000, clock = systemClock } = {}) {
    super();
    this.#channel = channel;
    this.#device = device;
    this.#stallTimeout = stallTimeout;
    this.#clock = clock;
  }

  /** @returns {FileEntry[]} the latest list; empty before the first `list` event */
  get entries() {
    return this.#entries;
  }

  /**
   * @param {FileEntry} entry of any list of this share
   * @returns {FileEntry | undefined} the entry with the same path and size in the latest list
   */
  findEntry(entry) {
    this.#finder ??= createFinder(this.#entries);
    return this.#finder(entry);
  }

  /** @returns {Error | null} why the channel has ended */
  get endReason() {
    return this.#endReason;
  }

  /**
   * Reads messages until the channel ends.
   *
   * @returns {Promise<never>}
   * @throws {TransferError | ProtocolError | import("../rtc/errors.js").PeerError} why it ended
   */
  async run() {
    try {
      for (;;) {
        this.#recordActivity();
        await this.#handle(await this.#channel.receive());
      }
    } catch (error) {
      this.#endReason = /** @type {Error} */ (error);
      this.#clock.clearTimeout(this.#stallTimer);
      this.#clock.clearTimeout(this.#listTimer);
      for (const request of this.#requests) request.reject(this.#endReason);
      this.#requests = [];
      for (const { resolve } of this.#previews.values()) resolve(null);
      this.#channel.close(this.#endReason);
      this.emit("end", this.#endReason);
      throw error;
    }
  }

  /**
   * @param {FileEntry} entry
   * @param {number} piece
   * @param {string} [storedHash] hash of the piece that is stored already
   * @returns {Promise<Reply>} a verified piece, or `same` when the stored one is correct
   */
  requestPiece({ id, size }, piece, storedHash) {
    const read = (/** @type {ControlMessage} */ message) => this.#readPiece(message, piece, pieceLength(size, piece));
    return this.#request({ type: "pull", id, piece, have: storedHash }, id, read);
  }

  /**
   * @param {WantedFile[]} files small files, within the limits of a batch
   * @returns {Promise<FileReply[]>} in their order
   */
  requestBatch(files) {
    const wanted = files.map(({ entry, storedHash }) => ({ id: entry.id, have: storedHash }));
    return this.#request({ type: "batch", files: wanted }, undefined, (message) => this.#readBatch(message, files));
  }

  /**
   * @param {FileEntry} entry
   * @param {string} root the hash over all stored pieces
   * @returns {Promise<Reply>} when the sender has the same hash
   * @throws {TransferError} `changed`
   */
  confirmFile({ id }, root) {
    return this.#request({ type: "stored", id, root }, id, async ({ type }) => {
      if (type !== "agreed") throw new ProtocolError(`got ${excerpt(type)}, expected agreed`);
      return "agreed";
    });
  }

  /**
   * A failure of a preview never affects the transfer: the result is null then.
   *
   * @param {FileEntry} entry
   * @returns {Promise<Blob | null>} a small, validated JPEG
   */
  async preview(entry) {
    const { canPreview, previewBlob } = await import("./preview.js");
    const isKnown = this.#previews.has(entry.id);
    if (!isKnown && (this.#endReason || !canPreview(entry) || this.#previews.size >= MAX_PREVIEWS)) return null;
    return previewBlob(await this.#requestPreview(entry));
  }

  /** @param {Uint8Array<ArrayBuffer> | void} bytes of a stored piece, which may be overwritten from now on */
  releaseBuffer(bytes) {
    if (bytes?.length === PIECE_BYTES) this.#spareBuffers.push(bytes);
  }

  /** @param {import("./protocol.js").ProgressReport} report */
  reportProgress({ state, written, total, failed }) {
    try {
      this.#channel.send({ type: "progress", state, written, total, failed });
    } catch {
      // The channel has ended: `run` throws the reason.
    }
  }

  /**
   * @param {ControlMessage} message
   * @param {string | undefined} id
   * @param {PendingRequest["read"]} read
   * @returns {Promise<any>}
   */
  #request(message, id, read) {
    return new Promise((resolve, reject) => {
      if (this.#endReason) return reject(this.#endReason);
      this.#channel.send(message); // an exception rejects the promise
      this.#requests.push({ id, read, resolve, reject });
      if (this.#requests.length === 1) this.#recordActivity();
    });
  }

  /** @param {FileEntry} entry @returns {Promise<unknown>} requested once per channel */
  #requestPreview({ id }) {
    const known = this.#previews.get(id);
    if (known) return known.promise;
    const image = deferred();
    this.#previews.set(id, image);
    try {
      this.#channel.send({ type: "preview", id });
    } catch {
      image.resolve(null); // the channel has ended: `run` throws the reason
    }
    return image.promise;
  }

  /**
   * Closes the channel when no message arrives for `stallTimeout` although requests are pending. One
   * timer compares the time of the last message; a timer for each message would cost more than the message.
   */
  #recordActivity() {
    this.#lastActivity = this.#clock.now();
    this.#stallTimer ??= this.#clock.setTimeout(() => this.#checkStall(), this.#stallTimeout);
  }

  #checkStall() {
    this.#stallTimer = null;
    if (this.#endReason || this.#requests.length === 0) return;
    const left = this.#lastActivity + this.#stallTimeout - this.#clock.now();
    if (left > 0) this.#stallTimer = this.#clock.setTimeout(() => this.#checkStall(), left);
    else this.#channel.close(new TransferError("stalled", `no message for ${this.#stallTimeout} ms`));
  }

  /** @param {ControlMessage | ArrayBuffer} message */
  async #handle(message) {
    if (message instanceof ArrayBuffer) throw new ProtocolError(`got ${message.byteLength} bytes without a piece`);
    if (this.#handleUnordered(message)) return;
    if (message.type === "end") throw endedBySender(message);
    const request = this.#requests[0];
    if (!request || message.id !== request.id) throw new ProtocolError(`got ${excerpt(message.type)} that was not requested`);
    if (message.type === "failed" && request.id !== undefined) request.reject(toFileError(message.reason));
    else request.resolve(await request.read(message));
    this.#requests.shift();
  }

  /**
   * @param {ControlMessage} message
   * @param {number} expected piece
   * @param {number} expectedLength
   * @returns {Promise<Reply>}
   */
  async #readPiece({ type, piece, length, sha256 }, expected, expectedLength) {
    if (piece !== expected) throw new ProtocolError(`got ${excerpt(type)} ${excerpt(piece)}, expected piece ${expected}`);
    if (type === "same") return "same";
    if (type !== "piece" || length !== expectedLength) {
      throw new ProtocolError(`got ${excerpt(type)} of ${excerpt(length)} bytes, expected a piece of ${expectedLength}`);
    }
    return verify(await this.#readBytes(length), sha256);
  }

  /**
   * @param {ControlMessage} message
   * @param {WantedFile[]} wanted
   * @returns {Promise<FileReply[]>}
   */
  async #readBatch({ type, files }, wanted) {
    if (type !== "batch" || !Array.isArray(files) || files.length !== wanted.length) {
      throw new ProtocolError(`got ${excerpt(type)}, expected a batch of ${wanted.length} files`);
    }
    const answers = files.map((answer, index) => parseFileAnswer(answer, wanted[index]));
    const sizes = answers.map((answer, index) => (typeof answer === "object" && "sha256" in answer ? wanted[index].entry.size : 0));
    const bytes = await this.#readBytes(sizes.reduce((sum, size) => sum + size, 0));
    let at = 0;
    const replies = answers.map((answer, index) => {
      const start = at;
      at += sizes[index];
      // A copy: the target that stores it may keep its buffer, which must not be that of all files.
      return typeof answer === "object" && "sha256" in answer ? verify(bytes.slice(start, at), answer.sha256) : answer;
    });
    return Promise.all(replies);
  }

  /** @param {number} length */
  async #readBytes(length) {
    const bytes = (length === PIECE_BYTES && this.#spareBuffers.pop()) || new Uint8Array(length);
    for (let at = 0; at < length; ) {
      this.#recordActivity();
      const message = await this.#channel.receive();
      if (!(message instanceof ArrayBuffer)) {
        if (message.type === "end") throw endedBySender(message);
        if (!this.#handleUnordered(message)) throw new ProtocolError(`got message ${excerpt(message.type)} within a piece`);
        continue;
      }
      const left = length - at;
      if (message.byteLength > left || message.byteLength < Math.min(left, MIN_MESSAGE_BYTES)) {
        throw new ProtocolError(`got ${message.byteLength} bytes, ${left} of the piece are missing`);
      }
      bytes.set(new Uint8Array(message), at);
      at += message.byteLength;
    }
    return bytes;
  }

  /**
   * Lists and previews may arrive at any time, also within a piece.
   *
   * @param {ControlMessage} message
   * @returns {boolean} whether it was one of them
   */
  #handleUnordered(message) {
    if (message.type === "list") this.#handleList(message);
    else if (message.type === "preview") this.#handlePreview(message);
    else return false;
    return true;
  }

  /** @param {ControlMessage} message */
  #handlePreview({ id, image }) {
    const requested = this.#previews.get(id);
    if (!requested) throw new ProtocolError("got a preview that was not requested");
    requested.resolve(image);
  }

  /** @param {ControlMessage} message */
  #handleList(message) {
    if (!this.#hasToldDevice && message.device !== undefined) this.#exchangeDevices(message.device);
    const list = this.#listReader.read(message);
    if (!list) return;
    this.#nextList = list;
    const wait = this.#listShownAt + LIST_INTERVAL - this.#clock.now();
    if (wait <= 0) this.#showList();
    else this.#listTimer ??= this.#clock.setTimeout(() => this.#showList(), wait);
  }

  /** @param {any} device of the sender, as received */
  #exchangeDevices(device) {
    this.#hasToldDevice = true;
    this.sender = parseDevice(device);
    if (this.#device) this.#channel.send({ type: "device", device: this.#device });
  }

  #showList() {
    this.#clock.clearTimeout(this.#listTimer);
    this.#listTimer = null;
    if (!this.#nextList) return;
    this.#entries = sanitizeList(this.#nextList);
    this.#nextList = null;
    this.#finder = null;
    this.emit("list", this.#entries);
    this.#listShownAt = this.#clock.now(); // after the work of those who listen
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {any} sha256 as announced
 * @returns {Promise<VerifiedPiece>}
 */
async function verify(bytes, sha256) {
  if ((await pieceHash(bytes)) !== sha256) throw new TransferError("hash", `${bytes.length} bytes differ from their sha-256`);
  return { bytes, sha256 };
}

/**
 * @param {any} answer about one file of a batch
 * @param {WantedFile} wanted
 * @returns {{sha256: string} | "same" | TransferError}
 */
function parseFileAnswer(answer, { storedHash }) {
  if (typeof answer?.failed === "string") return toFileError(answer.failed);
  if (answer?.same === true && storedHash !== undefined) return "same";
  if (typeof answer?.sha256 === "string") return { sha256: answer.sha256 };
  throw new ProtocolError("batch has no answer about one of its files");
}

/** @param {ControlMessage} message */
function endedBySender({ reason, cause }) {
  if (cause === "busy") return new PeerError("busy", "another receiver is downloading from a share for one");
  if (cause === "used") return new TransferError("used", "share was for one download, which is complete");
  if (cause === "expired") return new TransferError("expired", "share has expired");
  if (reason === "ended") return new TransferError("ended", "sender has stopped sharing");
  return new TransferError("cancelled", "sender ended the transfer");
}

/** @param {any} reason */
function toFileError(reason) {
  const known = FILE_FAILURES.includes(reason) ? reason : "refused";
  return new TransferError(known, `sender gave up on a file: ${known}`);
}
