/** A receiver as its sharer sees it, over all its connections. */

import { Emitter } from "../util/emitter.js";
import { HandclaspError } from "../util/errors.js";
import { Sender } from "./sender.js";

/** @typedef {"verified" | "left" | import("./protocol.js").TransferState} RemoteReceiverState */

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
  /** Why it left: the error's reason. */
  reason = "";
  #sender = /** @type {Sender | null} */ (null);

  /**
   * @param {string} peerId
   * @internal
   */
  constructor(peerId) {
    super();
    this.peerId = peerId;
  }

  /** @returns {boolean} */
  get isConnected() {
    return this.#sender !== null;
  }

  /** Ends this receiver's transfer. The others go on. */
  cancel() {
    this.#sender?.stop();
  }

  /**
   * Serves the receiver until the channel ends, which may be after a newer one has taken over.
   *
   * @param {import("../rtc/message-channel.js").RtcMessageChannel} channel on which `prove` has succeeded
   * @param {import("./catalogue.js").Catalogue} catalogue
   * @internal
   */
  async serve(channel, catalogue) {
    const sender = new Sender(channel, catalogue);
    this.#sender = sender;
    // A receiver that has all files is still done when it connects again.
    this.#setState(this.state === "done" ? "done" : "verified");
    sender.on("progress", ({ state, written, total }) => {
      Object.assign(this, { written, total });
      this.#setState(state);
    });
    try {
      await sender.run();
    } catch (error) {
      if (this.#sender !== sender) return; // a newer channel has taken over
      this.#sender = null;
      if (!(error instanceof HandclaspError)) throw error;
      this.reason = error.reason;
      // A receiver that is done or has cancelled keeps that state when it disconnects.
      if (this.state !== "done" && this.state !== "cancelled") this.#setState("left");
    }
  }

  /** @param {RemoteReceiverState} state */
  #setState(state) {
    this.state = state;
    this.emit("change");
  }
}
