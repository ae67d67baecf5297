/**
 * Some of what is on offer, on its way into a target, from the first piece to the end:
 * its state, its figures, and what comes of it. It outlives links: what broke goes on over
 * the next one (pass.js), from where it stood, and what a disk still has from an earlier
 * visit is compared, not sent again.
 */

import { Changes } from "../util/condition.js";
import { systemClock } from "../util/clock.js";
import { Emitter } from "../util/emitter.js";
import { PeerError, TransferError } from "../util/errors.js";
import { Meter } from "./throughput.js";
import { Part } from "./file-part.js";
import { Pass } from "./download-session.js";

/** How often the sender is told of more bytes, at most (ms); what else changes it hears at once. */
const REPORT_EVERY = 250;

/** @typedef {import("./catalogue.js").Entry} Entry */
/** @typedef {import("./receiver.js").Receiver} Receiver */
/** @typedef {import("./sender.js").TransferState | "waiting"} DownloadState waiting: for a link, or for the list */
/** @typedef {{state: DownloadState, written: number, total: number, speed: number, left: number}} Progress */
/** @typedef {{files: import("./targets/target.js").Saved[], failed: Array<{entry: Entry, error: TransferError}>}} Outcome */

/**
 * Event: `progress`, at every piece written and every change of state.
 *
 * @extends {Emitter<{progress: [Progress]}>}
 */
export class Download extends Emitter {
  #target;
  #clock;
  #meter;
  #parts;
  #total;
  #written = 0;
  #paused = false;
  #over = /** @type {DownloadState | null} */ (null);
  #receiver = /** @type {Receiver | null} */ (null);
  #changes = new Changes();
  /** What the sender was told last, on this link. */
  #told = { state: "", at: 0 };
  #telling = /** @type {any} */ (null);
  /** @type {(outcome: Outcome) => void} */
  #resolve = () => {};
  /** @type {(error: Error) => void} */
  #reject = () => {};

  /**
   * @param {Entry[]} entries of a receiver's list
   * @param {import("./targets/target.js").Target} target
   * @param {object} [options]
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(entries, target, { clock = systemClock } = {}) {
    super();
    this.#target = target;
    this.#clock = clock;
    this.#parts = entries.map((entry) => new Part(entry));
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
    this.#told.state = "";
    this.#changed();
    try {
      await this.#passOver(receiver).run();
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
  #passOver(receiver) {
    return new Pass({
      receiver,
      parts: this.#parts,
      target: this.#target,
      changes: this.#changes,
      isPaused: () => this.#paused,
      isOver: () => this.#over !== null,
      stored: (length, isNew) => {
        if (!isNew) this.#meter.skip(length);
        this.#written += length;
        this.#changed();
      },
    });
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

  #state() {
    if (this.#over) return this.#over;
    if (!this.#receiver || this.#receiver.entries.length === 0) return "waiting";
    return this.#paused ? "paused" : "downloading";
  }

  #changed() {
    this.#report();
    this.emit("progress", this.progress);
    this.#changes.wake();
  }

  /** Tells the sender, now or a moment later: a report costs as much as a message full of bytes. */
  #report() {
    const early = this.#told.at + REPORT_EVERY - this.#clock.now();
    if (this.#state() !== this.#told.state || early <= 0) this.#tell();
    else this.#telling ??= this.#clock.setTimeout(() => this.#tell(), early);
  }

  #tell() {
    this.#clock.clearTimeout(this.#telling);
    this.#telling = null;
    const state = this.#state();
    this.#told = { state, at: this.#clock.now() };
    if (state !== "waiting") this.#receiver?.report({ state, written: this.#written, total: this.#total });
  }
}

/** @param {unknown} error */
function isOfLink(error) {
  return error instanceof PeerError || (error instanceof TransferError && error.reason === "stalled");
}
