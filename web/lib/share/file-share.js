/**
 * Sharing files with whoever holds the key: every connection to the peer is asked for its
 * proof and then served from one catalogue. The other end is filefetch.js's.
 *
 *     const share = new FileShare(peer, key);
 *     share.catalogue.add([{ file }]);
 *     share.on("receiver", (receiver) => receiver.on("change", () => show(receiver)));
 *     await peer.join();
 */

import { Catalogue } from "./catalogue.js";
import { systemClock } from "../util/clock.js";
import { Emitter } from "../util/emitter.js";
import { HandclaspError, ProofError } from "../util/errors.js";
import { Guard } from "./rate-limit.js";
import { prove } from "./key-proof.js";
import { Sender } from "./sender.js";

/** How many receivers are remembered after they have left. */
const KEPT = 100;
/** What was said last is on its way for so long (ms), whatever the other end does. */
const LINGER = 5_000;

/** @typedef {"verified" | "left" | import("./sender.js").TransferState} ReceptionState */

/**
 * One receiver, over all its connections. Events: `change`, and `forgotten` when there were
 * many later ones.
 *
 * @extends {Emitter<{change: [], forgotten: []}>}
 */
export class Reception extends Emitter {
  /** @type {ReceptionState} */
  state = "verified";
  written = 0;
  total = 0;
  /** Why it left: the error's reason. */
  reason = "";
  #sender = /** @type {Sender | null} */ (null);

  /** @param {string} peerId */
  constructor(peerId) {
    super();
    this.peerId = peerId;
  }

  /** @returns {boolean} whether there is a connection to it */
  get isHere() {
    return this.#sender !== null;
  }

  /** Ends this receiver's transfer; others go on. */
  cancel() {
    this.#sender?.stop();
  }

  /**
   * Until the link ends, which may be after a newer one has taken over.
   *
   * @param {import("../rtc/message-channel.js").Link} link on which `prove` has succeeded
   * @param {Catalogue} catalogue
   */
  async serve(link, catalogue) {
    const sender = new Sender(link, catalogue);
    this.#sender = sender;
    // Who has everything may come back and still has it.
    this.#tell(this.state === "done" ? "done" : "verified");
    sender.on("progress", ({ state, written, total }) => {
      Object.assign(this, { written, total });
      this.#tell(state);
    });
    try {
      await sender.run();
    } catch (error) {
      if (this.#sender !== sender) return; // the end of an older one is no news
      this.#sender = null;
      if (!(error instanceof HandclaspError)) throw error;
      this.reason = error.reason;
      // It may leave as well, without looking like one who has not.
      if (this.state !== "done" && this.state !== "cancelled") this.#tell("left");
    }
  }

  /** @param {ReceptionState} state */
  #tell(state) {
    this.state = state;
    this.emit("change");
  }
}

/**
 * Events: `receiver` for each that was not there before and has proved; `refused` for each
 * visitor whose key was another, with how many there were.
 *
 * @extends {Emitter<{receiver: [Reception], refused: [number]}>}
 */
export class FileShare extends Emitter {
  /** @type {Map<string, Reception>} by peer id */
  #receptions = new Map();
  #clock;
  #guard;
  #refused = 0;

  /**
   * @param {import("../rtc/peer.js").Peer} peer joined now or later; its other uses are not disturbed
   * @param {Uint8Array<ArrayBuffer>} key 16 bytes that receivers have to hold as well
   * @param {object} [options]
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(peer, key, { clock = systemClock } = {}) {
    super();
    /** What the next visitor has to prove; those who are in stay in. */
    this.key = key;
    this.catalogue = new Catalogue();
    this.#clock = clock;
    this.#guard = new Guard(clock);
    peer.on("connection", (connection) => void this.#serve(connection));
  }

  /** @returns {Reception[]} in the order in which they came; of those who left, the last ones */
  get receivers() {
    return [...this.#receptions.values()];
  }

  /** @param {import("../rtc/connection.js").Connection} connection */
  async #serve(connection) {
    const link = await connection.opened;
    try {
      const passed = this.#guard.admit(connection.peerId);
      if (!passed) return link.send({ type: "refused", reason: "too_many_tries" });
      await prove(link, { key: this.key, role: "sharer", fingerprints: connection.fingerprints() });
      passed();
      await this.#receptionOf(connection.peerId).serve(link, this.catalogue);
    } catch (error) {
      if (!(error instanceof HandclaspError)) throw error;
      if (error instanceof ProofError) this.emit("refused", (this.#refused += 1));
    } finally {
      link.close(); // what was said last is still on its way, so the connection gets some time
      this.#clock.setTimeout(() => connection.close(), LINGER);
    }
  }

  /** @param {string} peerId has proved */
  #receptionOf(peerId) {
    const known = this.#receptions.get(peerId);
    if (known) return known;
    const reception = new Reception(peerId);
    this.#receptions.set(peerId, reception);
    this.#forget();
    this.emit("receiver", reception);
    return reception;
  }

  /** Whoever holds the key may come under any number of ids: the oldest who left are dropped. */
  #forget() {
    if (this.#receptions.size <= KEPT) return;
    const gone = this.receivers.slice(0, -1).filter(({ isHere }) => !isHere);
    const oldest = gone.find(({ state }) => state === "left") ?? gone[0];
    if (!oldest) return; // the peer bounds how many are connected
    this.#receptions.delete(oldest.peerId);
    oldest.emit("forgotten");
  }
}
