/**
 * One attempt to reach one peer directly: an RTCPeerConnection, its data channel, and
 * the order in which descriptions and candidates have to be worked in. Who is called
 * and how signals travel is peer.js's business; what is said over the link, others'.
 */

import { Emitter } from "./emitter.js";
import { PeerError } from "./errors.js";
import { Link } from "./link.js";
import { fingerprintsOf } from "./proof.js";

/** Candidates that came before the description they belong to. */
const EARLY_LIMIT = 64;

/**
 * @typedef {object} ConnectionOptions
 * @property {string} peerId the other side
 * @property {string} attempt names this try, so that answers to an earlier one are not taken for ours
 * @property {RTCPeerConnection} pc
 * @property {(event: string, body: object) => Promise<any>} signal
 * @property {import("./clock.js").Clock} clock
 * @property {number} timeout ms until it has to be open
 */

/**
 * Life: made, `offer()` or `take("offer", ...)`, `await opened`, `close`. The event `close`
 * comes once, whatever the cause, with a PeerError.
 *
 * @extends {Emitter<{close: [PeerError]}>}
 */
export class Connection extends Emitter {
  #signal;
  #clock;
  #timer;
  #link;
  #open = false;
  #closed = false;
  /** @type {RTCIceCandidateInit[]} */
  #early = [];
  /** Descriptions and candidates are worked in one after the other. */
  #work = Promise.resolve();
  /** @type {(link: Link) => void} */
  #resolve = () => {};
  /** @type {(error: PeerError) => void} */
  #reject = () => {};

  /** @param {ConnectionOptions} options */
  constructor({ peerId, attempt, pc, signal, clock, timeout }) {
    super();
    this.peerId = peerId;
    this.attempt = attempt;
    /** The platform's own object, for whatever this class does not offer. */
    this.pc = pc;
    this.#signal = signal;
    this.#clock = clock;
    /** @type {Promise<Link>} resolves when messages can be sent, rejects with a PeerError */
    this.opened = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever did not ask for `opened` still hears `close`.
    this.opened.catch(() => {});
    this.#timer = clock.setTimeout(() => this.#noPath(), timeout);
    // Both ends declare the same channel, so neither has to wait for being told of it.
    const channel = pc.createDataChannel("handclasp", { negotiated: true, id: 0 });
    this.#link = new Link(channel, { clock });
    this.#listen(channel);
  }

  /** @returns {boolean} */
  get isOpen() {
    return this.#open && !this.#closed;
  }

  /**
   * @returns {import("./proof.js").Fingerprints} of the two ends, as this side negotiated them
   */
  fingerprints() {
    return {
      own: fingerprintsOf(this.pc.localDescription?.sdp ?? ""),
      other: fingerprintsOf(this.pc.remoteDescription?.sdp ?? ""),
    };
  }

  /** Makes the offer and sends it. */
  offer() {
    this.#then(() => this.#describe("offer"));
  }

  /**
   * Works in a signal of the other side.
   *
   * @param {"offer" | "answer" | "candidate"} event
   * @param {any} payload as it came; its attempt is the caller's to compare
   */
  take(event, payload) {
    if (event === "candidate") this.#then(() => this.#addCandidate(payload.candidate));
    else this.#then(() => this.#setRemote(event, payload.description));
  }

  /** There is reason to doubt that the other side lives: if it gives no sign, this closes. */
  async probe() {
    if (this.isOpen && !(await this.#link.probe())) this.close(lost());
  }

  /** @param {PeerError} [reason] what `close` tells (default: closed on this side) */
  close(reason = new PeerError("closed", "connection closed on this side")) {
    if (this.#closed) return;
    this.#closed = true;
    this.#clock.clearTimeout(this.#timer);
    this.#link.close(reason);
    this.pc.close();
    this.#reject(reason);
    this.emit("close", reason);
  }

  /** @param {RTCDataChannel} channel */
  #listen(channel) {
    const { pc } = this;
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (!candidate || this.#closed) return;
      // A lost candidate is no failure: others may do, and the timeout decides.
      this.#send("candidate", { candidate: candidate.toJSON() }).catch(() => {});
    });
    pc.addEventListener("connectionstatechange", () => {
      if (pc.connectionState === "failed") this.#noPath();
    });
    channel.addEventListener("open", () => {
      this.#open = true;
      this.#clock.clearTimeout(this.#timer);
      // The channel may open before the browser shows the description that opened it,
      // and whoever gets the link wants the fingerprints at once.
      this.#then(async () => this.#resolve(this.#link));
    });
    channel.addEventListener("close", () => this.close(lost()));
  }

  #noPath() {
    if (this.#open) return this.close(lost());
    const states = `ice ${this.pc.iceConnectionState}, signaling ${this.pc.signalingState}`;
    this.close(new PeerError("no_path", `no direct path to ${this.peerId} (${states})`));
  }

  /** @param {"offer" | "answer"} type */
  async #describe(type) {
    await this.pc.setLocalDescription();
    const description = { type, sdp: this.pc.localDescription?.sdp };
    this.#send(type, { description }).catch((error) => {
      // An open connection is worth more than the broker's word on how it came to be.
      if (!this.#open) this.close(asPeerError(error));
    });
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {any} description
   */
  async #setRemote(type, description) {
    // A repeated answer would throw; the first one stands.
    if (type === "answer" && this.pc.signalingState !== "have-local-offer") return;
    await this.pc.setRemoteDescription({ type, sdp: String(description?.sdp) });
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.#addCandidate(candidate);
    if (type === "offer") await this.#describe("answer");
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #addCandidate(candidate) {
    if (this.pc.remoteDescription) {
      // One that this browser cannot read must not cost those that it can.
      await this.pc.addIceCandidate(candidate).catch(() => {});
    } else if (this.#early.length < EARLY_LIMIT) {
      this.#early.push(candidate);
    }
  }

  /**
   * @param {string} event
   * @param {object} body
   */
  #send(event, body) {
    return this.#signal(event, { peer_id: this.peerId, attempt: this.attempt, ...body });
  }

  /** @param {() => Promise<void>} step */
  #then(step) {
    this.#work = this.#work.then(async () => {
      if (this.#closed) return;
      try {
        await step();
      } catch (error) {
        this.close(asPeerError(/** @type {Error & {reason?: string}} */ (error)));
      }
    });
  }
}

function lost() {
  return new PeerError("lost", "connection was closed by the other side or by the network");
}

/** @param {Error & {reason?: string}} error */
function asPeerError(error) {
  const reason = error.reason === "peer_not_found" ? "absent" : (error.reason ?? "negotiation");
  return new PeerError(reason, error.message, { cause: error });
}
