/**
 * One download's time on one link: it asks for every piece that is missing, within a
 * window of bytes *written*, has them stored in order, and agrees with the sender on each
 * file. Whether there is another link after this one is download.js's business.
 */

import { TransferError } from "../util/errors.js";
import { WINDOW_ASKS, WINDOW_BYTES, pieceLength } from "./piece-layout.js";

/** @typedef {import("./file-part.js").Part} Part */
/** @typedef {import("./catalogue.js").Entry} Entry */

/**
 * @typedef {object} PassOptions
 * @property {import("./receiver.js").Receiver} receiver that is running
 * @property {Part[]} parts
 * @property {import("./targets/target.js").Target} target
 * @property {import("../util/condition.js").Changes} changes woken when the link ends, or `isPaused` or `isOver` changes
 * @property {() => boolean} isPaused
 * @property {() => boolean} isOver
 * @property {(length: number, isNew: boolean) => void} stored a piece; not new: it lay there already
 */

/** Costs one file; the others go on. */
const OF_ONE_FILE = ["unreadable", "changed", "removed", "refused"];

export class Pass {
  #receiver;
  #parts;
  #target;
  #changes;
  #isPaused;
  #isOver;
  #stored;
  /** What is asked for and not written yet. */
  #open = { bytes: 0, asks: 0 };
  /** @type {Promise<void>} writes and agreements, one after the other */
  #work = Promise.resolve();
  /** @type {Promise<void>[]} */
  #agreements = [];
  #broken = /** @type {unknown} */ (null);

  /** @param {PassOptions} options */
  constructor({ receiver, parts, target, changes, isPaused, isOver, stored }) {
    this.#receiver = receiver;
    this.#parts = parts;
    this.#target = target;
    this.#changes = changes;
    this.#isPaused = isPaused;
    this.#isOver = isOver;
    this.#stored = stored;
  }

  /**
   * @returns {Promise<void>} when each file is agreed on, or has its error
   * @throws {Error} what broke the link, or all of the download
   */
  async run() {
    try {
      for (const part of this.#parts) if (!part.isSettled) await this.#take(part);
    } catch (error) {
      this.#broken ??= error;
    }
    // Nothing may write any more once the next link takes over.
    await this.#work.catch(() => {});
    for (const one of await Promise.allSettled(this.#agreements)) if ("reason" in one) this.#broken ??= one.reason;
    if (this.#broken) throw this.#broken;
  }

  /** @param {Part} part */
  async #take(part) {
    const entry = await this.#find(part);
    if (!entry) return this.#fail(part, new TransferError("removed", `${part.name} is not on offer any more`));
    await part.open(this.#target);
    for (let piece = part.next; piece < part.pieces && !part.error; piece++) await this.#ask(part, piece, entry);
    this.#then(async () => {
      if (!part.error) await part.close();
    });
    this.#then(async () => {
      const agreement = this.#agree(part, entry);
      agreement.catch(() => {}); // told in the end, once all are in
      this.#agreements.push(agreement);
    });
  }

  /**
   * The file as the list of this link has it. A sender whose page was reloaded offers
   * nothing at first: that is waited for.
   *
   * @param {Part} part
   */
  async #find({ entry, name }) {
    const stop = this.#receiver.on("list", () => this.#changes.wake());
    try {
      while (this.#receiver.entries.length === 0) {
        this.#assertLive();
        await this.#changes.next();
      }
    } finally {
      stop();
    }
    return this.#receiver.entries.find((other) => other.size === entry.size && other.path.join("/") === name);
  }

  /**
   * @param {Part} part
   * @param {number} piece
   * @param {Entry} entry
   */
  async #ask(part, piece, entry) {
    const length = pieceLength(entry.size, piece);
    while (this.#isFull(length)) {
      await this.#changes.next();
      this.#assertLive();
    }
    this.#assertLive();
    const have = await part.left(piece);
    this.#assertLive();
    const reply = this.#receiver.pull(entry, piece, have);
    reply.catch(() => {}); // told where it is stored
    this.#open.bytes += length;
    this.#open.asks += 1;
    this.#then(() => this.#store(part, piece, reply, have).finally(() => this.#free(length)));
  }

  /**
   * @param {Part} part
   * @param {number} piece
   * @param {Promise<import("./receiver.js").Reply>} reply
   * @param {string | undefined} have
   */
  async #store(part, piece, reply, have) {
    try {
      const checked = await reply;
      if (this.#isOver() || part.error) return;
      const isNew = typeof checked === "object";
      if (isNew) this.#receiver.release(await part.write(piece, checked));
      else part.keep(piece, /** @type {string} */ (have));
      this.#stored(pieceLength(part.entry.size, piece), isNew);
    } catch (error) {
      this.#fail(part, error);
    }
  }

  /**
   * @param {Part} part
   * @param {Entry} entry
   */
  async #agree(part, entry) {
    if (part.error || this.#isOver()) return;
    try {
      await this.#receiver.agree(entry, await part.root());
      part.agreed = true;
    } catch (error) {
      this.#fail(part, error);
    }
  }

  /**
   * Costs the file alone where the fault is the file's; else throws on.
   *
   * @param {Part} part
   * @param {unknown} error
   */
  #fail(part, error) {
    if (!(error instanceof TransferError) || !OF_ONE_FILE.includes(error.reason) || this.#target.whole) throw error;
    part.error = error;
  }

  /** @param {() => Promise<void>} step after all that came before it */
  #then(step) {
    this.#work = this.#work.then(step);
    this.#work.catch((error) => {
      this.#broken ??= error;
      this.#changes.wake();
    });
  }

  #assertLive() {
    if (this.#broken) throw this.#broken;
    if (this.#isOver()) throw new TransferError("cancelled", "transfer is over");
    if (this.#receiver.ended) throw this.#receiver.ended;
  }

  /** @param {number} length of what is to be asked for next */
  #isFull(length) {
    const { bytes, asks } = this.#open;
    return this.#isPaused() || asks >= WINDOW_ASKS || (asks > 0 && bytes + length > WINDOW_BYTES);
  }

  /** @param {number} length */
  #free(length) {
    this.#open.bytes -= length;
    this.#open.asks -= 1;
    this.#changes.wake();
  }
}
