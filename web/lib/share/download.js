/**
 * A download of some files of a share into a target. It outlives connections: download-session.js runs
 * it over one channel, and the next channel continues where the previous one ended. Pieces that an
 * earlier download has stored are compared and not sent again.
 */

import { PeerError } from "../rtc/errors.js";
import { systemClock } from "../util/clock.js";
import { Condition } from "../util/condition.js";
import { deferred } from "../util/deferred.js";
import { Emitter } from "../util/emitter.js";
import { DownloadSession } from "./download-session.js";
import { TransferError } from "./errors.js";
import { totalSize } from "./file-entry.js";
import { groupParts } from "./file-batch.js";
import { FilePart } from "./file-part.js";
import { Throughput } from "./throughput.js";

/** The sender gets a report at most this often (ms), but every change of the state at once. */
const REPORT_INTERVAL = 250;

/** @typedef {import("./file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./receiver.js").Receiver} Receiver */
/** @typedef {import("./protocol.js").TransferState | "waiting"} DownloadState waiting: for a connection, or for the list */
/** @typedef {{state: DownloadState, written: number, total: number, speed: number, secondsLeft: number}} DownloadProgress */
/** @typedef {{files: import("./download-target.js").SavedFile[], failed: Array<{entry: FileEntry, error: TransferError}>}} DownloadResult */

/**
 * Event: `progress`, for every written piece and every change of the state.
 *
 * @extends {Emitter<{progress: [DownloadProgress]}>}
 */
export class Download extends Emitter {
  #target;
  #clock;
  #isReported;
  #throughput;
  #parts;
  #groups;
  #total;
  #written = 0;
  #isPaused = false;
  #finalState = /** @type {DownloadState | null} */ (null);
  #receiver = /** @type {Receiver | null} */ (null);
  /** The last one: sessions run one after the other. */
  #session = Promise.resolve();
  #changed = new Condition();
  /** The last report on this channel. */
  #lastReport = { state: "", at: 0 };
  #reportTimer = /** @type {any} */ (null);
  /** @type {import("../util/deferred.js").Deferred<DownloadResult>} settles `finished`; the state shows a failure too */
  #result = deferred();

  /**
   * @param {FileEntry[]} entries of the list
   * @param {import("./download-target.js").DownloadTarget} target
   * @param {object} [options]
   * @param {boolean} [options.isReported] whether the sender is told of the progress (default true); false for what the user
   *   has not asked for
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(entries, target, { isReported = true, clock = systemClock } = {}) {
    super();
    this.#isReported = isReported;
    this.#target = target;
    this.#clock = clock;
    this.#parts = entries.map((entry) => new FilePart(entry));
    this.#groups = groupParts(this.#parts, target.allOrNothing);
    this.#total = totalSize(entries);
    this.#throughput = new Throughput(this.#total, { clock });
    /** @type {Promise<DownloadResult>} settles when all files are stored and confirmed, or the download has failed */
    this.finished = this.#result.promise;
  }

  /** @returns {DownloadProgress} */
  get progress() {
    const { speed, secondsLeft } = this.#throughput.update(this.#written);
    return { state: this.#state(), written: this.#written, total: this.#total, speed, secondsLeft };
  }

  /** Sends no further requests. Requested pieces still arrive. */
  pause() {
    this.#isPaused = true;
    this.#notify();
  }

  resume() {
    this.#isPaused = false;
    this.#notify();
  }

  /** Ends the download and discards what was stored. */
  cancel() {
    void this.#end("cancelled", new TransferError("cancelled", "transfer was cancelled on this side"));
  }

  /**
   * Ends the download and keeps what was stored: no other connection will continue it.
   *
   * @param {Error} error
   * @internal
   */
  fail(error) {
    void this.#end("failed", error);
  }

  /**
   * Transfers the missing pieces from a receiver. If the transfer from another one is not over, for example because its
   * last piece is still being written, it requests nothing more, and this one starts when it is over.
   *
   * @param {Receiver} receiver running
   * @returns {Promise<boolean>} whether the download is over; if not, another receiver may continue it
   * @internal
   */
  async transferFrom(receiver) {
    const removeListener = receiver.on("end", () => this.#changed.notify());
    this.#receiver = receiver;
    this.#lastReport.state = "";
    this.#notify();
    this.#session = this.#session.then(() => this.#runSession(receiver));
    await this.#session;
    removeListener();
    return this.#finalState !== null;
  }

  /** @param {Receiver} receiver */
  async #runSession(receiver) {
    if (this.#finalState) return;
    try {
      await this.#createSession(receiver).run();
      await this.#finish();
    } catch (error) {
      if (!isConnectionError(error)) await this.#end("failed", /** @type {Error} */ (error));
      if (this.#receiver === receiver) this.#receiver = null;
      if (!this.#finalState) this.#notify();
    }
  }

  /** @param {Receiver} receiver */
  #createSession(receiver) {
    return new DownloadSession({
      receiver,
      groups: this.#groups,
      target: this.#target,
      changed: this.#changed,
      isPaused: () => this.#isPaused,
      isOver: () => this.#finalState !== null,
      isReplaced: () => this.#receiver !== receiver,
      onStored: (length, isNew) => {
        if (!isNew) this.#throughput.skip(length);
        this.#written += length;
        this.#notify();
      },
    });
  }

  async #finish() {
    const confirmed = this.#parts.filter(({ isConfirmed }) => isConfirmed).map(({ entry }) => entry);
    const failed = this.#parts.flatMap(({ entry, error }) => (error ? [{ entry, error }] : []));
    for (const { entry } of failed) await this.#target.remove(entry);
    if (confirmed.length === 0 && failed.length > 0) throw failed[0].error;
    const files = await this.#target.finish(confirmed);
    if (this.#finalState) return;
    this.#finalState = "done";
    this.#notify();
    this.#result.resolve({ files, failed });
  }

  /**
   * @param {"cancelled" | "failed"} state
   * @param {Error} error
   */
  async #end(state, error) {
    if (this.#finalState) return;
    this.#finalState = state;
    this.#notify();
    this.#result.reject(error);
    // A failed download may be retried later, with what is stored. What has arrived and was verified stays with the user.
    const keep = state === "failed";
    const complete = keep ? this.#parts.filter(({ isConfirmed }) => isConfirmed).map(({ entry }) => entry) : [];
    await this.#target.abort({ keep, complete }).catch(() => {});
  }

  #state() {
    if (this.#finalState) return this.#finalState;
    if (!this.#receiver || this.#receiver.entries.length === 0) return "waiting";
    return this.#isPaused ? "paused" : "downloading";
  }

  #notify() {
    this.#scheduleReport();
    this.emit("progress", this.progress);
    this.#changed.notify();
  }

  /** A report costs as much as a message full of bytes, so reports are throttled. */
  #scheduleReport() {
    const wait = this.#lastReport.at + REPORT_INTERVAL - this.#clock.now();
    if (this.#state() !== this.#lastReport.state || wait <= 0) this.#report();
    else this.#reportTimer ??= this.#clock.setTimeout(() => this.#report(), wait);
  }

  #report() {
    this.#clock.clearTimeout(this.#reportTimer);
    this.#reportTimer = null;
    const state = this.#state();
    this.#lastReport = { state, at: this.#clock.now() };
    if (state !== "waiting" && this.#isReported) {
      const failed = this.#parts.filter(({ error }) => error).length;
      this.#receiver?.reportProgress({ state, written: this.#written, total: this.#total, failed });
    }
  }
}

/** @param {unknown} error */
function isConnectionError(error) {
  return error instanceof PeerError || (error instanceof TransferError && error.reason === "stalled");
}
