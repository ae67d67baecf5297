/**
 * The part of a download that runs over one message channel: it requests every missing piece, within a
 * window of bytes that are not *written* yet, stores the pieces in order, and confirms each file with the
 * sender. download.js continues over the next channel.
 */

import { PeerError } from "../rtc/errors.js";
import { TransferError } from "./errors.js";
import { FileBatch } from "./file-batch.js";
import { totalSize } from "./file-entry.js";
import { WINDOW_BYTES, WINDOW_REQUESTS, pieceLength } from "./piece-layout.js";

/** @typedef {import("./file-part.js").FilePart} FilePart */
/** @typedef {import("./file-entry.js").FileEntry} FileEntry */

/**
 * @typedef {object} DownloadSessionOptions
 * @property {import("./receiver.js").Receiver} receiver running
 * @property {Array<FilePart | FileBatch>} groups what is requested together, in this order
 * @property {import("./download-target.js").DownloadTarget} target
 * @property {import("../util/condition.js").Condition} changed notified when the channel ends, or when
 *   `isPaused`, `isOver` or `isReplaced` changes
 * @property {() => boolean} isPaused
 * @property {() => boolean} isOver
 * @property {() => boolean} isReplaced whether another session is to continue
 * @property {(length: number, isNew: boolean) => void} onStored a piece is stored; not new: it was stored before
 */

/** These errors fail one file, and the others go on. */
const FILE_ERRORS = ["unreadable", "changed", "removed", "refused"];

export class DownloadSession {
  #receiver;
  #groups;
  #target;
  #changed;
  #isPaused;
  #isOver;
  #isReplaced;
  #onStored;
  /** What is requested and not written yet. */
  #window = { bytes: 0, requests: 0 };
  /** @type {Promise<void>} writes and confirmations, one after the other */
  #queue = Promise.resolve();
  /** @type {Promise<void>[]} */
  #confirmations = [];
  #failure = /** @type {unknown} */ (null);

  /** @param {DownloadSessionOptions} options */
  constructor({ receiver, groups, target, changed, isPaused, isOver, isReplaced, onStored }) {
    this.#receiver = receiver;
    this.#groups = groups;
    this.#target = target;
    this.#changed = changed;
    this.#isPaused = isPaused;
    this.#isOver = isOver;
    this.#isReplaced = isReplaced;
    this.#onStored = onStored;
  }

  /**
   * @returns {Promise<void>} resolves when each file is confirmed or has its error
   * @throws {Error} the channel or the whole download has failed
   */
  async run() {
    try {
      for (const group of this.#groups) {
        if (group.isSettled) continue;
        await (group instanceof FileBatch ? this.#fetchBatch(group) : this.#fetchPart(group));
      }
    } catch (error) {
      this.#failure ??= error;
    }
    // No write may happen after the next channel takes over.
    await this.#queue.catch(() => {});
    for (const result of await Promise.allSettled(this.#confirmations)) if ("reason" in result) this.#failure ??= result.reason;
    if (this.#failure) throw this.#failure;
  }

  /** @param {FilePart} part */
  async #fetchPart(part) {
    const entry = await this.#findEntry(part);
    if (!entry) return this.#fail(part, new TransferError("removed", `${part.name} is no longer shared`));
    await part.open(this.#target);
    for (let piece = part.nextPiece; piece < part.pieceCount && !part.error; piece++) await this.#requestPiece(part, piece, entry);
    this.#enqueue(async () => {
      if (!part.error) await part.close();
    });
    this.#enqueue(async () => {
      const confirmation = this.#confirm(part, entry);
      confirmation.catch(() => {}); // `run` throws it in the end
      this.#confirmations.push(confirmation);
    });
  }

  /** @param {FileBatch} batch */
  async #fetchBatch(batch) {
    /** @type {Array<{part: FilePart, entry: FileEntry}>} */
    const wanted = [];
    for (const part of batch.parts) {
      if (part.isSettled) continue;
      const entry = await this.#findEntry(part);
      if (entry) wanted.push({ part, entry });
      else this.#fail(part, new TransferError("removed", `${part.name} is no longer shared`));
    }
    if (wanted.length === 0) return;
    const length = totalSize(wanted.map(({ entry }) => entry));
    await this.#waitForRoom(length);
    const hashes = await batch.storedHashes(this.#target);
    this.#assertRunning();
    const reply = this.#receiver.requestBatch(wanted.map(({ part, entry }) => ({ entry, storedHash: hashes.get(part) })));
    reply.catch(() => {}); // handled by #storeBatch
    this.#enqueueStore(length, () => this.#storeBatch(batch, wanted.map(({ part }) => part), reply));
  }

  /**
   * @param {FileBatch} batch
   * @param {FilePart[]} wanted
   * @param {Promise<import("./receiver.js").FileReply[]>} reply
   */
  async #storeBatch(batch, wanted, reply) {
    const contents = new Map();
    const stored = { new: 0, old: 0 };
    for (const [index, file] of (await reply).entries()) {
      const part = wanted[index];
      if (file instanceof TransferError) this.#fail(part, file);
      else contents.set(part, file === "same" ? file : file.bytes);
      if (!part.error) stored[file === "same" ? "old" : "new"] += part.entry.size;
    }
    if (this.#isOver()) return;
    await batch.write(this.#target, contents);
    for (const part of contents.keys()) part.isConfirmed = true;
    if (stored.old > 0) this.#onStored(stored.old, false);
    if (stored.new > 0) this.#onStored(stored.new, true);
  }

  /**
   * The file's entry in the list of this channel. After a reload, a sender shares nothing at first, so
   * an empty list is waited out.
   *
   * @param {FilePart} part
   */
  async #findEntry({ entry }) {
    const removeListener = this.#receiver.on("list", () => this.#changed.notify());
    try {
      while (this.#receiver.entries.length === 0) {
        this.#assertRunning();
        await this.#changed.wait();
      }
    } finally {
      removeListener();
    }
    return this.#receiver.findEntry(entry);
  }

  /**
   * @param {FilePart} part
   * @param {number} piece
   * @param {FileEntry} entry
   */
  async #requestPiece(part, piece, entry) {
    const length = pieceLength(entry.size, piece);
    await this.#waitForRoom(length);
    const storedHash = await part.storedHash(piece);
    this.#assertRunning();
    const reply = this.#receiver.requestPiece(entry, piece, storedHash);
    reply.catch(() => {}); // handled by #store
    this.#enqueueStore(length, () => this.#store(part, piece, reply, storedHash));
  }

  /** @param {number} length of the next request */
  async #waitForRoom(length) {
    while (this.#isBlocked(length)) {
      await this.#changed.wait();
      this.#assertRunning();
    }
    this.#assertRunning();
  }

  /**
   * @param {number} length of what was requested
   * @param {() => Promise<void>} store
   */
  #enqueueStore(length, store) {
    this.#window.bytes += length;
    this.#window.requests += 1;
    this.#enqueue(() => store().finally(() => this.#release(length)));
  }

  /**
   * @param {FilePart} part
   * @param {number} piece
   * @param {Promise<import("./receiver.js").Reply>} reply
   * @param {string | undefined} storedHash
   */
  async #store(part, piece, reply, storedHash) {
    try {
      const verified = await reply;
      if (this.#isOver() || part.error) return;
      const isNew = typeof verified === "object";
      if (isNew) this.#receiver.releaseBuffer(await part.write(piece, verified));
      else part.markStored(piece, /** @type {string} */ (storedHash));
      this.#onStored(pieceLength(part.entry.size, piece), isNew);
    } catch (error) {
      this.#fail(part, error);
    }
  }

  /**
   * @param {FilePart} part
   * @param {FileEntry} entry
   */
  async #confirm(part, entry) {
    if (part.error || this.#isOver()) return;
    try {
      await this.#receiver.confirmFile(entry, await part.rootHash());
      part.isConfirmed = true;
    } catch (error) {
      this.#fail(part, error);
    }
  }

  /**
   * Fails only the file if the error concerns the file alone; otherwise throws the error.
   *
   * @param {FilePart} part
   * @param {unknown} error
   */
  #fail(part, error) {
    if (!(error instanceof TransferError) || !FILE_ERRORS.includes(error.reason) || this.#target.allOrNothing) throw error;
    part.error = error;
  }

  /** @param {() => Promise<void>} step */
  #enqueue(step) {
    this.#queue = this.#queue.then(step);
    this.#queue.catch((error) => {
      this.#failure ??= error;
      this.#changed.notify();
    });
  }

  #assertRunning() {
    if (this.#failure) throw this.#failure;
    if (this.#isOver()) throw new TransferError("cancelled", "transfer is over");
    if (this.#receiver.endReason) throw this.#receiver.endReason;
    if (this.#isReplaced()) throw new PeerError("closed", "another connection continues the transfer");
  }

  /** @param {number} length of the next request */
  #isBlocked(length) {
    const { bytes, requests } = this.#window;
    return this.#isPaused() || requests >= WINDOW_REQUESTS || (requests > 0 && bytes + length > WINDOW_BYTES);
  }

  /** @param {number} length */
  #release(length) {
    this.#window.bytes -= length;
    this.#window.requests -= 1;
    this.#changed.notify();
  }
}
