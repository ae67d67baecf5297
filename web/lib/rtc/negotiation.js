/**
 * Descriptions and candidates of one RTCPeerConnection, in the order in which they have to
 * be worked in: first offer, renegotiation, ICE restart, and two offers that cross (the
 * "perfect negotiation" of W3C WebRTC and RFC 8829). How signals travel is the caller's.
 */

import { ProtocolError } from "../util/errors.js";
import { fingerprintsOf } from "../share/key-proof.js";

/** Candidates that came before the description they belong to. */
const EARLY_LIMIT = 64;

/** @typedef {"offer" | "answer" | "candidate"} SignalEvent */

/**
 * @typedef {object} NegotiationOptions
 * @property {RTCPeerConnection} pc
 * @property {boolean} polite whether this side withdraws its offer when two cross
 * @property {(event: SignalEvent, body: object) => Promise<any>} send
 * @property {(error: Error) => void} failed the other side's description cannot be used
 * @property {(error: Error) => void} unsent a description did not reach the other side
 */

export class Negotiation {
  #pc;
  #polite;
  #send;
  #failed;
  #unsent;
  /** The first offer has a side that makes it; from then on either may. */
  #begun = false;
  /** Whether something has changed since the last description that the other side has to hear of. */
  #isNeeded = false;
  #stopped = false;
  /** Whether the last description may not have arrived. */
  #inDoubt = false;
  /** @type {RTCIceCandidateInit[]} */
  #early = [];
  #otherFingerprints = "";
  /** Steps are taken one after the other. */
  #work = Promise.resolve();

  /** @param {NegotiationOptions} options */
  constructor({ pc, polite, send, failed, unsent }) {
    this.#pc = pc;
    this.#polite = polite;
    this.#send = send;
    this.#failed = failed;
    this.#unsent = unsent;
    pc.addEventListener("negotiationneeded", () => {
      this.#isNeeded = true;
      if (this.#begun) this.#offerLater();
    });
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (!candidate || this.#stopped) return;
      // A lost candidate is no failure: others may do, and the timeout decides.
      send("candidate", { candidate: candidate.toJSON() }).catch(() => {});
    });
  }

  /**
   * Makes the first offer and sends it.
   *
   * @param {() => object} [more] what goes with it, asked when it leaves
   */
  begin(more) {
    this.#begun = this.#isNeeded = true;
    this.#offerLater(more);
  }

  /**
   * Works in a signal of the other side.
   *
   * @param {SignalEvent} event
   * @param {any} payload as it came
   */
  take(event, payload) {
    if (event === "candidate") this.afterwards(() => this.#addCandidate(payload.candidate));
    else this.afterwards(() => this.#setRemote(event, payload.description));
  }

  /** Signals flow again: says once more what may have been lost. */
  resume() {
    this.afterwards(async () => {
      if (this.#pc.signalingState === "have-local-offer" || this.#inDoubt) this.#tellAgain();
    });
  }

  /** Says the last description once more, whatever became of it. */
  repeat() {
    this.afterwards(async () => this.#tellAgain());
  }

  /**
   * Takes a step when those under way are taken.
   *
   * @param {() => Promise<void>} step
   */
  afterwards(step) {
    this.#work = this.#work.then(async () => {
      if (this.#stopped) return;
      try {
        await step();
      } catch (error) {
        // What the connection's end broke is no failure of its own.
        if (!this.#stopped) this.#failed(/** @type {Error} */ (error));
      }
    });
  }

  stop() {
    this.#stopped = true;
  }

  /** @param {() => object} [more] */
  #offerLater(more) {
    this.afterwards(async () => {
      // Not stable: an offer is under way, and the platform asks again after it. Not needed any
      // more: it was asked for while an offer was worked in (node's package does), whose answer said it.
      if (this.#isNeeded && this.#pc.signalingState === "stable") await this.#describe("offer", more);
    });
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {() => object} [more]
   */
  async #describe(type, more) {
    this.#isNeeded = false;
    await this.#pc.setLocalDescription();
    this.#tell(type, more?.());
  }

  #tellAgain() {
    const { localDescription } = this.#pc;
    if (localDescription) this.#tell(localDescription.type === "answer" ? "answer" : "offer");
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {object} [more]
   */
  #tell(type, more) {
    this.#inDoubt = false;
    const description = { type, sdp: this.#pc.localDescription?.sdp };
    this.#send(type, { description, ...more }).catch((error) => {
      this.#inDoubt = true;
      if (!this.#stopped) this.#unsent(error);
    });
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {any} description
   */
  async #setRemote(type, description) {
    const pc = this.#pc;
    const sdp = String(description?.sdp);
    // A repeated answer would throw; the first one stands.
    if (type === "answer" && pc.signalingState !== "have-local-offer") return;
    // Two offers crossed. The impolite side's stands; the polite one's is rolled back by
    // the platform, which asks for it again afterwards.
    if (type === "offer" && pc.signalingState !== "stable" && !this.#polite) return;
    this.#begun = true;
    this.#assertSamePeer(sdp);
    await pc.setRemoteDescription({ type, sdp });
    this.#otherFingerprints ||= fingerprintsOf(sdp);
    await this.#retryEarly();
    if (type === "offer") await this.#describe("answer");
  }

  /**
   * What was proved about a connection was proved about its first fingerprints: a broker
   * that could change them in a later offer would take the connection over.
   *
   * @param {string} sdp
   */
  #assertSamePeer(sdp) {
    if (this.#otherFingerprints && fingerprintsOf(sdp) !== this.#otherFingerprints) {
      throw new ProtocolError("renegotiation came with another fingerprint");
    }
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #addCandidate(candidate) {
    if (this.#pc.remoteDescription && (await this.#accepts(candidate))) return;
    this.#early.push(candidate);
    if (this.#early.length > EARLY_LIMIT) this.#early.shift();
  }

  async #retryEarly() {
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.#accepts(candidate);
  }

  /**
   * @param {RTCIceCandidateInit} candidate
   * @returns {Promise<boolean>} false for one that belongs to another description, or that
   *   this browser cannot read: it must not cost those that it can
   */
  #accepts(candidate) {
    return this.#pc.addIceCandidate(candidate).then(
      () => true,
      () => false,
    );
  }
}
