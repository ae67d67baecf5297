/**
 * The offer/answer exchange of one RTCPeerConnection: first offer, renegotiation, ICE restart, and glare
 * (the "perfect negotiation" of W3C WebRTC and RFC 8829). The caller transports the signals.
 */

import { ProtocolError } from "../util/errors.js";
import { fingerprintsOf } from "./fingerprints.js";

/** How many candidates that arrived before their description are kept. */
const EARLY_CANDIDATES_LIMIT = 64;

/** @typedef {"offer" | "answer" | "candidate"} SignalEvent */

/**
 * @typedef {object} NegotiationOptions
 * @property {RTCPeerConnection} pc
 * @property {boolean} isPolite whether this side rolls its offer back when two offers collide
 * @property {(event: SignalEvent, body: object) => Promise<any>} send
 * @property {(error: Error) => void} onFailure the remote description cannot be used
 * @property {(error: Error) => void} onUndelivered a description did not reach the other side
 */

export class Negotiation {
  #pc;
  #isPolite;
  #send;
  #onFailure;
  #onUndelivered;
  /** Only one side may make the first offer; after that both sides may. */
  #isStarted = false;
  /** Whether something has changed that needs a new description. */
  #isNeeded = false;
  #isStopped = false;
  /** Whether the last description may be lost. */
  #isUndelivered = false;
  /** @type {RTCIceCandidateInit[]} */
  #earlyCandidates = [];
  #remoteFingerprints = "";
  /** Runs the steps one after the other. */
  #queue = Promise.resolve();

  /** @param {NegotiationOptions} options */
  constructor({ pc, isPolite, send, onFailure, onUndelivered }) {
    this.#pc = pc;
    this.#isPolite = isPolite;
    this.#send = send;
    this.#onFailure = onFailure;
    this.#onUndelivered = onUndelivered;
    pc.addEventListener("negotiationneeded", () => {
      this.#isNeeded = true;
      if (this.#isStarted) this.#enqueueOffer();
    });
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (!candidate || this.#isStopped) return;
      // A lost candidate is not a failure: others may work, and the timeout decides.
      send("candidate", { candidate: candidate.toJSON() }).catch(() => {});
    });
  }

  /**
   * Makes the first offer and sends it.
   *
   * @param {() => object} [extra] fields to send with it; called when it is sent
   */
  start(extra) {
    this.#isStarted = this.#isNeeded = true;
    this.#enqueueOffer(extra);
  }

  /**
   * @param {SignalEvent} event
   * @param {any} payload as received
   */
  handleSignal(event, payload) {
    if (event === "candidate") this.enqueue(() => this.#addCandidate(payload.candidate));
    else this.enqueue(() => this.#setRemote(event, payload.description));
  }

  /** Signals are delivered again: resends a description that may be lost. */
  resume() {
    this.enqueue(async () => {
      if (this.#pc.signalingState === "have-local-offer" || this.#isUndelivered) this.#resendLocal();
    });
  }

  /** Sends the last description again in any case. */
  resendDescription() {
    this.enqueue(async () => this.#resendLocal());
  }

  /**
   * Runs a step after those that are queued.
   *
   * @param {() => Promise<void>} step
   */
  enqueue(step) {
    this.#queue = this.#queue.then(async () => {
      if (this.#isStopped) return;
      try {
        await step();
      } catch (error) {
        // Closing the connection makes the step fail; that is not a failure of the negotiation.
        if (!this.#isStopped) this.#onFailure(/** @type {Error} */ (error));
      }
    });
  }

  stop() {
    this.#isStopped = true;
  }

  /** @param {() => object} [extra] */
  #enqueueOffer(extra) {
    this.enqueue(async () => {
      // Not stable: an offer is under way, and the platform fires again after it. Not needed any more:
      // the event fired during the handling of a remote offer (the Node package does that), whose
      // answer contained the change.
      if (this.#isNeeded && this.#pc.signalingState === "stable") await this.#setLocal("offer", extra);
    });
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {() => object} [extra]
   */
  async #setLocal(type, extra) {
    this.#isNeeded = false;
    await this.#pc.setLocalDescription();
    this.#sendLocal(type, extra?.());
  }

  #resendLocal() {
    const { localDescription } = this.#pc;
    if (localDescription) this.#sendLocal(localDescription.type === "answer" ? "answer" : "offer");
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {object} [extra]
   */
  #sendLocal(type, extra) {
    this.#isUndelivered = false;
    const description = { type, sdp: this.#pc.localDescription?.sdp };
    this.#send(type, { description, ...extra }).catch((error) => {
      this.#isUndelivered = true;
      if (!this.#isStopped) this.#onUndelivered(error);
    });
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {any} description
   */
  async #setRemote(type, description) {
    const pc = this.#pc;
    const sdp = String(description?.sdp);
    // A repeated answer would throw; the first one is in use.
    if (type === "answer" && pc.signalingState !== "have-local-offer") return;
    // Glare: two offers collided. The impolite side ignores the other offer. On the polite side the
    // platform rolls its own offer back and fires `negotiationneeded` again afterwards.
    if (type === "offer" && pc.signalingState !== "stable" && !this.#isPolite) return;
    this.#isStarted = true;
    this.#assertSameFingerprints(sdp);
    await pc.setRemoteDescription({ type, sdp });
    this.#remoteFingerprints ||= fingerprintsOf(sdp);
    await this.#addEarlyCandidates();
    if (type === "offer") await this.#setLocal("answer");
  }

  /**
   * A proof of the key covers the first fingerprints. A broker that could change them in a later offer
   * could take the connection over.
   *
   * @param {string} sdp
   */
  #assertSameFingerprints(sdp) {
    if (this.#remoteFingerprints && fingerprintsOf(sdp) !== this.#remoteFingerprints) {
      throw new ProtocolError("fingerprint changed in a renegotiation");
    }
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #addCandidate(candidate) {
    if (this.#pc.remoteDescription && (await this.#tryCandidate(candidate))) return;
    this.#earlyCandidates.push(candidate);
    if (this.#earlyCandidates.length > EARLY_CANDIDATES_LIMIT) this.#earlyCandidates.shift();
  }

  async #addEarlyCandidates() {
    const candidates = this.#earlyCandidates;
    this.#earlyCandidates = [];
    for (const candidate of candidates) await this.#tryCandidate(candidate);
  }

  /**
   * @param {RTCIceCandidateInit} candidate
   * @returns {Promise<boolean>} false when it belongs to another description, or this browser cannot
   *   parse it; the other candidates are still added
   */
  #tryCandidate(candidate) {
    return this.#pc.addIceCandidate(candidate).then(
      () => true,
      () => false,
    );
  }
}
