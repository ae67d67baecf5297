/**
 * The receiving end of one proven link: what is on offer, and questions with their
 * answers, which come in the order of the questions. What is asked for, and where the
 * bytes go, is download.js's business; the talk itself is written down in sender.js.
 */

import { systemClock } from "../util/clock.js";
import { Emitter } from "../util/emitter.js";
import { ProtocolError, TransferError } from "../util/errors.js";
import { safePaths } from "./sanitize-filename.js";
import { PIECE_BYTES, pieceHash, pieceLength } from "./piece-layout.js";

/** @typedef {import("./catalogue.js").Entry} Entry its path is already made harmless */
/** @typedef {{bytes: Uint8Array<ArrayBuffer>, sha256: string}} Checked a piece with its hash, which is right */
/** @typedef {Checked | "same" | "agreed"} Reply */

/**
 * @typedef {object} Ask a question under way
 * @property {string} id
 * @property {number} piece -1 when it is about the whole file
 * @property {number} length bytes that are due
 * @property {(reply: Reply) => void} resolve
 * @property {(error: Error) => void} reject
 */

const LIMIT_FILES = 10_000;
/** What a sender may say of one of its files; anything else is noise. */
const FAILURES = ["unreadable", "changed", "removed"];

/**
 * Events: `list`, when what is on offer has changed; `end`, once, when the link has ended.
 *
 * @extends {Emitter<{list: [Entry[]], end: [Error]}>}
 */
export class Receiver extends Emitter {
  #link;
  #clock;
  #stallTimeout;
  /** @type {Entry[]} */
  #entries = [];
  /** @type {any[]} parts of a list that is still coming */
  #parts = [];
  /** @type {Ask[]} */
  #asks = [];
  #timer = /** @type {any} */ (null);
  /** When the last message came, or the first question went. */
  #heard = 0;
  #ended = /** @type {Error | null} */ (null);
  /** @type {Uint8Array<ArrayBuffer>[]} as many as were needed at a time: fresh memory costs more than what is done in it */
  #spare = [];
  /** @type {Map<string, {image: Promise<unknown>, resolve: (image: unknown) => void}>} by the entry's id */
  #previews = new Map();

  /**
   * @param {import("../rtc/message-channel.js").Link} link on which `prove` has succeeded
   * @param {object} [options]
   * @param {number} [options.stallTimeout] ms without a message while answers are due (default 30 000)
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(link, { stallTimeout = 30_000, clock = systemClock } = {}) {
    super();
    this.#link = link;
    this.#stallTimeout = stallTimeout;
    this.#clock = clock;
  }

  /** @returns {Entry[]} as last told; empty before the first `list` */
  get entries() {
    return this.#entries;
  }

  /** @returns {Error | null} why nothing more will come */
  get ended() {
    return this.#ended;
  }

  /**
   * Reads what comes until the link ends.
   *
   * @returns {Promise<never>}
   * @throws {TransferError | ProtocolError | import("../util/errors.js").PeerError} why it ended
   */
  async run() {
    try {
      for (;;) {
        this.#watch();
        await this.#take(await this.#link.next());
      }
    } catch (error) {
      this.#ended = /** @type {Error} */ (error);
      this.#clock.clearTimeout(this.#timer);
      for (const ask of this.#asks) ask.reject(this.#ended);
      this.#asks = [];
      for (const { resolve } of this.#previews.values()) resolve(null);
      this.#link.close(this.#ended);
      this.emit("end", this.#ended);
      throw error;
    }
  }

  /**
   * @param {Entry} entry
   * @param {number} piece
   * @param {string} [have] hash of what is stored of it already
   * @returns {Promise<Reply>} a checked piece, or `same` when what is stored is right
   */
  pull({ id, size }, piece, have) {
    return this.#ask({ type: "pull", id, piece, have }, { id, piece, length: pieceLength(size, piece) });
  }

  /**
   * @param {Entry} entry
   * @param {string} root the hash over all pieces
   * @returns {Promise<Reply>} when the sender has the same
   * @throws {TransferError} `changed`
   */
  agree({ id }, root) {
    return this.#ask({ type: "stored", id, root }, { id, piece: -1, length: 0 });
  }

  /**
   * Whatever is wrong with it, a transfer is not disturbed: there is no preview, then.
   *
   * @param {Entry} entry
   * @returns {Promise<Blob | null>} a small JPEG, checked and ready for an `img`
   */
  async preview(entry) {
    const { PREVIEW_COUNT, canPreview, toPicture } = await import("./preview.js");
    const isKnown = this.#previews.has(entry.id);
    if (!isKnown && (this.#ended || !canPreview(entry) || this.#previews.size >= PREVIEW_COUNT)) return null;
    return toPicture(await this.#askPreview(entry));
  }

  /** @param {Uint8Array<ArrayBuffer> | void} bytes of a piece that is stored; others will take their place */
  release(bytes) {
    if (bytes?.length === PIECE_BYTES) this.#spare.push(bytes);
  }

  /** @param {import("./sender.js").Report} report for the sender's eyes */
  report({ state, written, total }) {
    try {
      this.#link.send({ type: "progress", state, written, total });
    } catch {
      // The link is gone: `run` tells so.
    }
  }

  /**
   * @param {import("../rtc/message-channel.js").Control} message
   * @param {{id: string, piece: number, length: number}} due
   * @returns {Promise<Reply>}
   */
  #ask(message, due) {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      this.#link.send(message); // what it throws rejects as well
      this.#asks.push({ ...due, resolve, reject });
      if (this.#asks.length === 1) this.#watch();
    });
  }

  /** @param {Entry} entry @returns {Promise<unknown>} asked for once a link */
  #askPreview({ id }) {
    const known = this.#previews.get(id);
    if (known) return known.image;
    /** @type {(image: unknown) => void} */
    let resolve = () => {};
    const image = new Promise((settle) => (resolve = settle));
    this.#previews.set(id, { image, resolve });
    try {
      this.#link.send({ type: "preview", id });
    } catch {
      resolve(null); // the link is gone: `run` tells so
    }
    return image;
  }

  /**
   * Nothing for this long, though something is due: the link is given up. One timer looks
   * at the time of the last message; one a message would cost more than the message.
   */
  #watch() {
    this.#heard = this.#clock.now();
    this.#timer ??= this.#clock.setTimeout(() => this.#look(), this.#stallTimeout);
  }

  #look() {
    this.#timer = null;
    if (this.#ended || this.#asks.length === 0) return;
    const left = this.#heard + this.#stallTimeout - this.#clock.now();
    if (left > 0) this.#timer = this.#clock.setTimeout(() => this.#look(), left);
    else this.#link.close(new TransferError("stalled", `nothing came for ${this.#stallTimeout} ms`));
  }

  /** @param {import("../rtc/message-channel.js").Control | ArrayBuffer} message */
  async #take(message) {
    if (message instanceof ArrayBuffer) throw new ProtocolError(`got ${message.byteLength} bytes without a piece`);
    if (this.#isAside(message)) return;
    if (message.type === "end") throw ended();
    const ask = this.#asks[0];
    if (!ask || message.id !== ask.id) throw new ProtocolError(`got ${message.type} that was not asked for`);
    if (message.type === "failed") ask.reject(failure(message.reason));
    else ask.resolve(await this.#reply(ask, message));
    this.#asks.shift();
  }

  /**
   * @param {Ask} ask
   * @param {import("../rtc/message-channel.js").Control} message
   * @returns {Promise<Reply>}
   */
  async #reply(ask, { type, piece, length, sha256 }) {
    if (type === "agreed" && ask.piece < 0) return "agreed";
    if (piece !== ask.piece) throw new ProtocolError(`got ${type} ${piece}, expected piece ${ask.piece}`);
    if (type === "same") return "same";
    if (type !== "piece" || length !== ask.length) {
      throw new ProtocolError(`got ${type} of ${length} bytes, expected a piece of ${ask.length}`);
    }
    const bytes = await this.#bytes(length);
    if ((await pieceHash(bytes)) !== sha256) throw new TransferError("hash", `piece ${piece} differs from its sha-256`);
    return { bytes, sha256 };
  }

  /** @param {number} length */
  async #bytes(length) {
    const bytes = (length === PIECE_BYTES && this.#spare.pop()) || new Uint8Array(length);
    for (let at = 0; at < length; ) {
      this.#watch();
      const message = await this.#link.next();
      if (!(message instanceof ArrayBuffer)) {
        if (message.type === "end") throw ended();
        if (!this.#isAside(message)) throw new ProtocolError(`got message ${message.type} amid a piece`);
        continue;
      }
      if (message.byteLength === 0 || message.byteLength > length - at) {
        throw new ProtocolError(`got ${message.byteLength} bytes where ${length - at} were due`);
      }
      bytes.set(new Uint8Array(message), at);
      at += message.byteLength;
    }
    return bytes;
  }

  /**
   * Lists and previews may come at any time, amid a piece as well.
   *
   * @param {import("../rtc/message-channel.js").Control} message
   * @returns {boolean} whether it was one of them, and is dealt with
   */
  #isAside(message) {
    if (message.type === "list") this.#list(message);
    else if (message.type === "preview") this.#seen(message);
    else return false;
    return true;
  }

  /** @param {import("../rtc/message-channel.js").Control} message */
  #seen({ id, image }) {
    const asked = this.#previews.get(id);
    if (!asked) throw new ProtocolError("got a preview that was not asked for");
    asked.resolve(image);
  }

  /** @param {import("../rtc/message-channel.js").Control} message */
  #list({ entries, last }) {
    if (!Array.isArray(entries)) throw new ProtocolError("list has no entries");
    this.#parts.push(...entries);
    if (this.#parts.length > LIMIT_FILES) throw new ProtocolError(`list has more than ${LIMIT_FILES} files`);
    if (!last) return;
    this.#entries = checkEntries(this.#parts);
    this.#parts = [];
    this.emit("list", this.#entries);
  }
}

/**
 * @param {any[]} entries as they came from the network
 * @returns {Entry[]}
 */
function checkEntries(entries) {
  for (const { size } of entries) {
    if (!Number.isSafeInteger(size) || size < 0) throw new ProtocolError(`file size ${size} is no count of bytes`);
  }
  const paths = safePaths(entries.map(({ path }) => path));
  return entries.map(({ id, size, type }, at) => ({ id: String(id), path: paths[at], size, type: String(type ?? "") }));
}

function ended() {
  return new TransferError("cancelled", "sender ended the transfer");
}

/** @param {any} reason */
function failure(reason) {
  const known = FAILURES.includes(reason) ? reason : "refused";
  return new TransferError(known, `sender gave up on a file: ${known}`);
}
