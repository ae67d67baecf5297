/** A receiver as its sharer sees it, over all its connections. */

import { Emitter } from "../util/emitter.js";
import { HandclaspError } from "../util/errors.js";
import { Sender } from "./sender.js";

/**
 * @typedef {"verified" | "reconnected" | "stopped" | "left" | import("./protocol.js").TransferState} RemoteReceiverState
 *   reconnected: it has a part, and has not asked for more yet; stopped: by this side
 */
/** @typedef {Pick<RemoteReceiver, "peerId" | "state" | "written" | "total" | "failed">} ReceiverRecord */

/**
 * Events: `change`, and `forgotten` when many later receivers have pushed it off the list.
 *
 * @extends {Emitter<{change: [], forgotten: []}>}
 */
export class RemoteReceiver extends Emitter {
  /** @type {RemoteReceiverState} */
  state = "verified";
  written = 0;
  total = 0;
  /** How many files have failed. */
  failed = 0;
  /** What it says that it is; null: it has not said so, or runs an older version. @type {import("./device.js").Device | null} */
  device = null;
  /** Why it left: the error's reason. */
  reason = "";
  #clock;
  #activeAt = 0;
  #sender = /** @type {Sender | null} */ (null);
  #isStopped = false;
  /** Sends its last messages. @type {Sender | null} */
  #stopped = null;

  /**
   * @param {string} peerId
   * @param {import("../util/clock.js").Clock} clock
   * @param {ReceiverRecord} [earlier] what this page knew of it before it was reloaded
   * @internal
   */
  constructor(peerId, clock, earlier) {
    super();
    this.peerId = peerId;
    this.#clock = clock;
    if (!earlier) return;
    const { state, written, total, failed } = earlier;
    Object.assign(this, { state, written, total, failed });
  }

  /** @returns {boolean} */
  get isConnected() {
    return this.#sender !== null;
  }

  /**
   * @returns {number} what was sent to it, and waits for the network
   * @internal
   */
  get bufferedBytes() {
    return (this.#sender ?? this.#stopped)?.bufferedBytes ?? 0;
  }

  /**
   * @returns {number} ms since it connected, got a part of a file, wrote one, or changed its state: the last of these
   * @internal
   */
  get idleTime() {
    return this.#clock.now() - this.#activeAt;
  }

  /** Ends this receiver's transfer. The others go on. */
  cancel() {
    void this.#stop("cancelled");
  }

  /**
   * Tells the receiver that the share is over, or why it cannot go on.
   *
   * @param {import("./protocol.js").EndReason} [reason]
   * @returns {Promise<void>} resolves when it knows, or is gone
   * @internal
   */
  end(reason = "ended") {
    return this.#stop(reason);
  }

  /** @param {import("./protocol.js").EndReason} reason */
  async #stop(reason) {
    if (!this.#sender) return;
    // A limit of the share is nobody's decision about this receiver.
    this.#isStopped = reason === "cancelled" || reason === "ended";
    this.#stopped = this.#sender;
    await this.#stopped.stop(reason);
  }

  /**
   * Serves the receiver until the channel ends, which may be after a newer one has taken over.
   *
   * @param {import("../rtc/message-channel.js").RtcMessageChannel} channel on which `prove` has succeeded
   * @param {import("./catalogue.js").Catalogue} catalogue
   * @param {import("./device.js").Device | null} [device] of this side
   * @internal
   */
  async serve(channel, catalogue, device = null) {
    const sender = new Sender(channel, catalogue, { device });
    this.#sender = sender;
    this.#isStopped = false;
    this.#activeAt = this.#clock.now();
    // A receiver that has all files is still done when it connects again.
    this.#setState(this.state === "done" ? "done" : this.written > 0 ? "reconnected" : "verified");
    sender.on("sent", () => (this.#activeAt = this.#clock.now()));
    sender.on("progress", ({ state, written, total, failed }) => {
      if (state !== this.state || written !== this.written) this.#activeAt = this.#clock.now();
      Object.assign(this, { written, total, failed });
      this.#setState(state);
    });
    sender.on("device", (remote) => {
      this.device = remote;
      this.emit("change");
    });
    try {
      await sender.run();
    } catch (error) {
      if (this.#sender !== sender) return; // a newer channel has taken over
      this.#sender = null;
      if (!(error instanceof HandclaspError)) throw error;
      this.reason = error.reason;
      // A receiver that is done or has cancelled keeps that state when it disconnects.
      if (this.state !== "done" && this.state !== "cancelled") this.#setState(this.#isStopped ? "stopped" : "left");
    }
  }

  /** @param {RemoteReceiverState} state */
  #setState(state) {
    this.state = state;
    this.emit("change");
  }
}
