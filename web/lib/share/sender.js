/**
 * The sharing end of one proven link: it says what is on offer and then only answers,
 * in the order in which it was asked. The receiver asks for every piece, so it sets the
 * pace; a sender holds two pieces in memory for each receiver: one on its way, one read.
 *
 * The talk, all JSON but the bytes (`>` sender, `<` receiver):
 *
 *     > {type: "list", entries: [{id, path, size, type}], last}    in parts; again when it changes
 *     < {type: "pull", id, piece, have?}         have: hash of the piece as it lies on the disk
 *     > {type: "piece", id, piece, length, sha256}, then `length` bytes; the hash as piece.js has it
 *       or {type: "same", id, piece}             what the receiver has is right
 *     < {type: "stored", id, root}               every piece is written; hash over their hashes
 *     > {type: "agreed", id}
 *     > {type: "failed", id, reason}             in place of any answer; the other files go on
 *     < {type: "progress", state, written, total}   bytes written so far
 *     < {type: "preview", id}                    of an image; 50 of them over one link
 *     > {type: "preview", id, image}             a small JPEG in base64url, or null; when it is
 *                                                ready, so that no piece waits for a picture
 *     > {type: "end", reason}                    the sender wants no more of this
 */

import { toBase64url } from "../util/bytes.js";
import { Emitter } from "../util/emitter.js";
import { ProtocolError, TransferError } from "../util/errors.js";
import { MESSAGE_BYTES, pieceCount } from "./piece-layout.js";
import { PieceReader } from "./piece-reader.js";

/** A part of the list has to fit into one message, whatever its characters take. */
const PART_CHARS = 12 * 1024;
/** As preview.js has it, which is fetched with the first picture alone. */
const PREVIEW_COUNT = 50;
const STATES = ["downloading", "paused", "cancelled", "failed", "done"];

/** @typedef {"downloading" | "paused" | "cancelled" | "failed" | "done"} TransferState */
/** @typedef {{state: TransferState, written: number, total: number}} Report what a receiver says of itself */
/** @typedef {{message: object, bytes?: Uint8Array<ArrayBuffer>}} Answer */

/**
 * Event: `progress` with the receiver's own report.
 *
 * @extends {Emitter<{progress: [Report]}>}
 */
export class Sender extends Emitter {
  #link;
  #catalogue;
  #reader = new PieceReader();
  #previews = 0;
  /** @type {Promise<void>} pictures, one after the other */
  #drawing = Promise.resolve();
  #isOver = false;

  /**
   * @param {import("../rtc/message-channel.js").Link} link on which `prove` has succeeded
   * @param {import("./catalogue.js").Catalogue} catalogue
   */
  constructor(link, catalogue) {
    super();
    this.#link = link;
    this.#catalogue = catalogue;
  }

  /**
   * Serves the receiver until the link ends.
   *
   * @returns {Promise<never>}
   * @throws {import("../util/errors.js").PeerError | ProtocolError} why it ended
   */
  async run() {
    const forget = this.#catalogue.on("change", () => this.#announce());
    this.#announce();
    let ready = this.#prepare();
    try {
      for (;;) {
        const answer = await ready;
        // The next piece is read while this one goes out.
        ready = this.#prepare();
        ready.catch(() => {}); // told by the next turn, unless this one fails first
        await this.#deliver(answer);
      }
    } finally {
      this.#isOver = true;
      forget();
      ready.catch(() => {}).then(() => this.#reader.close());
    }
  }

  /** Tells the receiver that this side has had enough, and ends the link. */
  stop() {
    this.#tell({ type: "end", reason: "cancelled" });
    this.#link.close();
  }

  #announce() {
    /** @type {object[]} */
    let entries = [];
    let chars = 0;
    for (const entry of this.#catalogue.entries) {
      const length = JSON.stringify(entry).length;
      if (chars + length > PART_CHARS && entries.length > 0) {
        this.#tell({ type: "list", entries, last: false });
        entries = [];
        chars = 0;
      }
      entries.push(entry);
      chars += length;
    }
    this.#tell({ type: "list", entries, last: true });
  }

  /** @param {import("../rtc/message-channel.js").Control} message */
  #tell(message) {
    try {
      this.#link.send(message);
    } catch {
      // The link is gone: `run` tells so.
    }
  }

  /** @returns {Promise<Answer>} to the next question */
  async #prepare() {
    for (;;) {
      const message = await this.#link.expect(["pull", "stored", "progress", "preview"]);
      if (message.type === "progress") this.emit("progress", report(message));
      else if (message.type === "preview") this.#showPreview(message);
      else return this.#answer(message);
    }
  }

  /** @param {import("../rtc/message-channel.js").Control} question */
  #showPreview({ id }) {
    this.#previews += 1;
    if (this.#previews > PREVIEW_COUNT) throw new ProtocolError(`more than ${PREVIEW_COUNT} previews were asked for`);
    this.#drawing = this.#drawing.then(async () => {
      if (this.#isOver) return;
      const jpeg = await this.#catalogue.preview(id).catch(() => null); // it was removed, or this page is offline
      this.#tell({ type: "preview", id, image: jpeg && toBase64url(jpeg) });
    });
  }

  /** @param {import("../rtc/message-channel.js").Control} question */
  async #answer({ type, id, piece, have, root }) {
    try {
      return type === "pull" ? await this.#piece(id, piece, have) : await this.#agree(id, root);
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
  async #piece(id, piece, have) {
    const pieces = pieceCount(this.#catalogue.entry(id)?.size ?? 0);
    if (!this.#catalogue.entry(id)) throw new TransferError("removed", `file ${id} is not on offer`);
    if (!Number.isInteger(piece) || piece < 0 || piece >= pieces) {
      throw new ProtocolError(`piece ${piece} was asked for, the file has ${pieces}`);
    }
    const { bytes, sha256 } = await this.#catalogue.read(id, piece, this.#reader);
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
  async #agree(id, root) {
    const own = await this.#catalogue.root(id);
    if (root !== own) throw new TransferError("changed", `receiver stored ${root}, file ${id} is ${own}`);
    return { message: { type: "agreed", id } };
  }

  /** @param {Answer} answer */
  async #deliver({ message, bytes }) {
    this.#link.send(/** @type {import("../rtc/message-channel.js").Control} */ (message));
    if (!bytes) return;
    for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) {
      await this.#link.sendBytes(bytes.subarray(at, at + MESSAGE_BYTES));
    }
    this.#reader.release(bytes);
  }
}

/**
 * @param {import("../rtc/message-channel.js").Control} message
 * @returns {Report}
 */
function report({ state, written, total }) {
  const isCount = (/** @type {any} */ value) => Number.isSafeInteger(value) && value >= 0;
  if (!STATES.includes(state) || !isCount(written) || !isCount(total) || written > total) {
    throw new ProtocolError(`progress ${state} ${written} of ${total} is none`);
  }
  return { state, written, total };
}
