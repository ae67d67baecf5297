/**
 * Some of what is on offer, on its way into a target: it asks for pieces within a window
 * of bytes *written*, checks, stores, and agrees with the sender on the hash of each file.
 * It outlives links: what broke is served again by the next one, from where it stood, and
 * what a disk still has from an earlier visit is compared, not sent again.
 */

import { Changes } from "./changes.js";
import { systemClock } from "./clock.js";
import { Emitter } from "./emitter.js";
import { PeerError, TransferError } from "./errors.js";
import { Meter } from "./meter.js";
import { PIECE_BYTES, WINDOW_ASKS, WINDOW_BYTES, pieceCount, pieceHash, pieceLength, rootHash } from "./piece.js";

/** @typedef {import("./catalogue.js").Entry} Entry */
/** @typedef {import("./receiver.js").Receiver} Receiver */
/** @typedef {import("./sender.js").TransferState | "waiting"} DownloadState waiting: for a link, or for the list */
/** @typedef {{state: DownloadState, written: number, total: number, speed: number, left: number}} Progress */
/** @typedef {{files: import("./target.js").Saved[], failed: Array<{entry: Entry, error: TransferError}>}} Outcome */
/** @typedef {{entry: Entry, sink: import("./target.js").Sink | null, hashes: string[], closed: boolean,
 *   agreed: boolean, error: TransferError | null}} Part */

/** Costs one file; the others go on. */
const OF_ONE_FILE = ["unreadable", "changed", "removed", "refused"];

/**
 * Event: `progress`, at every piece written and every change of state.
 *
 * @extends {Emitter<{progress: [Progress]}>}
 */
export class Download extends Emitter {
  #target;
  #meter;
  /** @type {Part[]} */
  #parts;
  #total;
  #written = 0;
  #paused = false;
  #over = /** @type {DownloadState | null} */ (null);
  #receiver = /** @type {Receiver | null} */ (null);
  /** What is asked for and not written yet. */
  #open = { bytes: 0, asks: 0 };
  #changes = new Changes();
  /** @type {(outcome: Outcome) => void} */
  #resolve = () => {};
  /** @type {(error: Error) => void} */
  #reject = () => {};

  /**
   * @param {Entry[]} entries of a receiver's list
   * @param {import("./target.js").Target} target
   * @param {object} [options]
   * @param {import("./clock.js").Clock} [options.clock]
   */
  constructor(entries, target, { clock = systemClock } = {}) {
    super();
    this.#target = target;
    this.#parts = entries.map((entry) => ({ entry, sink: null, hashes: [], closed: false, agreed: false, error: null }));
    this.#total = entries.reduce((sum, { size }) => sum + size, 0);
    this.#meter = new Meter(this.#total, { clock });
    /** @type {Promise<Outcome>} when all is stored and agreed on, or nothing more can be done */
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.finished.catch(() => {}); // whoever looks at the state alone knows as well
  }

  /** @returns {Progress} */
  get progress() {
    const { speed, left } = this.#meter.update(this.#written);
    return { state: this.#state(), written: this.#written, total: this.#total, speed, left };
  }

  /** Asks for nothing more; what is under way arrives. */
  pause() {
    this.#paused = true;
    this.#changed();
  }

  resume() {
    this.#paused = false;
    this.#changed();
  }

  /** Ends it for good and throws away what was stored. */
  cancel() {
    void this.#end("cancelled", new TransferError("cancelled", "transfer was cancelled on this side"));
  }

  /**
   * Moves what is missing over this receiver.
   *
   * @param {Receiver} receiver that is running
   * @returns {Promise<boolean>} whether it is over; false when another receiver may go on
   */
  async serve(receiver) {
    const stop = receiver.on("end", () => this.#changes.wake());
    this.#receiver = receiver;
    this.#open = { bytes: 0, asks: 0 };
    this.#changed();
    try {
      await this.#transfer(receiver);
      await this.#finish();
    } catch (error) {
      if (!isOfLink(error)) await this.#end("failed", /** @type {Error} */ (error));
      if (this.#receiver === receiver) this.#receiver = null;
      if (!this.#over) this.#changed();
    } finally {
      stop();
    }
    return this.#over !== null;
  }

  /** @param {Receiver} receiver */
  async #transfer(receiver) {
    /** @type {Promise<void>} writes and agreements, one after the other */
    let work = Promise.resolve();
    /** @type {Promise<void>[]} */
    const agreements = [];
    let broken = /** @type {unknown} */ (null);
    /** @param {() => Promise<void>} step */
    const then = (step) => {
      work = work.then(step);
      work.catch((error) => {
        broken ??= error;
        this.#changes.wake();
      });
    };
    const check = () => {
      if (broken) throw broken;
      this.#assertLive(receiver);
    };
    try {
      for (const part of this.#parts) {
        if (part.agreed || part.error) continue;
        const entry = await this.#find(receiver, part, check);
        if (!entry) this.#fail(part, new TransferError("removed", `${part.entry.path.join("/")} is not on offer any more`));
        else await this.#ask(receiver, part, entry, then, check);
        if (part.error) continue;
        then(async () => {
          const agreement = this.#agree(receiver, part, entry ?? part.entry);
          agreement.catch(() => {}); // told below, once all are in
          agreements.push(agreement);
        });
      }
    } catch (error) {
      broken ??= error;
    }
    // Nothing may write any more once the next link takes over.
    await work.catch(() => {});
    await Promise.allSettled(agreements).then((all) => all.forEach((one) => "reason" in one && (broken ??= one.reason)));
    if (broken) throw broken;
  }

  /**
   * @param {Receiver} receiver
   * @param {Part} part
   * @param {Entry} entry the file as this receiver's list has it
   * @param {(step: () => Promise<void>) => void} then
   * @param {() => void} check
   */
  async #ask(receiver, part, entry, then, check) {
    const { size } = entry;
    const sink = (part.sink ??= await this.#target.open(part.entry));
    for (let piece = part.hashes.length; piece < pieceCount(size) && !part.error; piece++) {
      const length = pieceLength(size, piece);
      while (this.#isFull(length)) {
        await this.#changes.next();
        check();
      }
      check();
      const at = piece * PIECE_BYTES;
      const have = at + length <= sink.stored ? await pieceHash(await sink.read(at, length)) : undefined;
      check();
      const reply = receiver.pull(entry, piece, have);
      reply.catch(() => {}); // told where it is stored
      this.#open.bytes += length;
      this.#open.asks += 1;
      then(() => this.#store(part, piece, reply, have).finally(() => this.#free(length)));
    }
    then(async () => {
      if (!part.closed && !part.error) await sink.close();
      part.closed = true;
    });
  }

  /**
   * @param {Part} part
   * @param {number} piece
   * @param {Promise<import("./receiver.js").Reply>} reply
   * @param {string | undefined} have
   */
  async #store(part, piece, reply, have) {
    try {
      const bytes = await reply;
      if (this.#over || part.error) return;
      const length = pieceLength(part.entry.size, piece);
      if (bytes instanceof Uint8Array) await /** @type {import("./target.js").Sink} */ (part.sink).write(piece * PIECE_BYTES, bytes);
      else this.#meter.skip(length);
      // One that the network made a hash error of never gets here.
      part.hashes[piece] = bytes instanceof Uint8Array ? await pieceHash(bytes) : /** @type {string} */ (have);
      this.#written += length;
      this.#changed();
    } catch (error) {
      this.#fail(part, error);
    }
  }

  /**
   * @param {Receiver} receiver
   * @param {Part} part
   * @param {Entry} entry
   */
  async #agree(receiver, part, entry) {
    if (part.error || this.#over) return;
    try {
      await receiver.agree(entry, await rootHash(part.hashes));
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

  /**
   * The file as the list of this receiver has it. A sender whose page was reloaded offers
   * nothing at first: that is waited for.
   *
   * @param {Receiver} receiver
   * @param {Part} part
   * @param {() => void} check
   */
  async #find(receiver, { entry }, check) {
    const stop = receiver.on("list", () => this.#changes.wake());
    try {
      while (receiver.entries.length === 0) {
        check();
        await this.#changes.next();
      }
    } finally {
      stop();
    }
    const path = entry.path.join("/");
    return receiver.entries.find((other) => other.size === entry.size && other.path.join("/") === path);
  }

  async #finish() {
    const good = this.#parts.filter(({ agreed }) => agreed).map(({ entry }) => entry);
    const failed = this.#parts.flatMap(({ entry, error }) => (error ? [{ entry, error }] : []));
    for (const { entry } of failed) await this.#target.drop(entry);
    if (good.length === 0 && failed.length > 0) throw failed[0].error;
    const files = await this.#target.finish(good);
    if (this.#over) return;
    this.#over = "done";
    this.#changed();
    this.#resolve({ files, failed });
  }

  /**
   * @param {"cancelled" | "failed"} state
   * @param {Error} error
   */
  async #end(state, error) {
    if (this.#over) return;
    this.#over = state;
    this.#changed();
    this.#reject(error);
    // What failed may be tried again later, from what is on the disk.
    await this.#target.abort({ keep: state === "failed" }).catch(() => {});
  }

  /** @param {Receiver} receiver */
  #assertLive(receiver) {
    if (this.#over) throw new TransferError("cancelled", "transfer is over");
    if (receiver.ended) throw receiver.ended;
  }

  /** @param {number} length of what is to be asked for next */
  #isFull(length) {
    const { bytes, asks } = this.#open;
    return this.#paused || asks >= WINDOW_ASKS || (asks > 0 && bytes + length > WINDOW_BYTES);
  }

  /** @param {number} length */
  #free(length) {
    this.#open.bytes -= length;
    this.#open.asks -= 1;
    this.#changes.wake();
  }

  #state() {
    if (this.#over) return this.#over;
    if (!this.#receiver || this.#receiver.entries.length === 0) return "waiting";
    return this.#paused ? "paused" : "downloading";
  }

  #changed() {
    const { progress } = this;
    const { state } = progress;
    if (state !== "waiting") this.#receiver?.report({ ...progress, state });
    this.emit("progress", progress);
    this.#changes.wake();
  }
}

/** @param {unknown} error */
function isOfLink(error) {
  return error instanceof PeerError || (error instanceof TransferError && error.reason === "stalled");
}
