/**
 * One attempt to reach one peer directly, and the connection that comes of it: an
 * RTCPeerConnection with a data channel, its life, and why it ended. Descriptions are
 * negotiation.js's, broken paths recovery.js's; who is called is peer.js's business.
 */

import { Emitter } from "../util/emitter.js";
import { PeerError } from "../util/errors.js";
import { Link } from "./message-channel.js";
import { Negotiation } from "./negotiation.js";
import { Path } from "./ice-report.js";
import { fingerprintsOf } from "../share/key-proof.js";
import { Recovery } from "./ice-recovery.js";

/**
 * @typedef {object} ConnectionOptions
 * @property {string} peerId the other side
 * @property {string} attempt names this try, so that answers to an earlier one are not taken for ours
 * @property {boolean} offers whether this side makes the first offer
 * @property {RTCPeerConnection} pc
 * @property {(event: string, body: object) => Promise<any>} signal
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} timeout ms until it has to be open
 * @property {number} recoveryTimeout ms for which a broken path may be mended
 */

/**
 * Life: made, `offer()` or `take("offer", ...)`, `await opened`, `close`. The event `close`
 * comes once, whatever the cause, with a PeerError. Between them, `interrupted` when the
 * path breaks and `restored` when it works again; what was sent meanwhile arrives then.
 *
 * @extends {Emitter<{close: [PeerError], interrupted: [], restored: []}>}
 */
export class Connection extends Emitter {
  #signal;
  #clock;
  #timer;
  #recoveryTimeout;
  #link;
  #path;
  #negotiation;
  /** @type {Recovery | null} once it was open */
  #recovery = null;
  #closed = false;
  /** @type {(link: Link) => void} */
  #resolve = () => {};
  /** @type {(error: PeerError) => void} */
  #reject = () => {};

  /** @param {ConnectionOptions} options */
  constructor({ peerId, attempt, offers, pc, signal, clock, timeout, recoveryTimeout }) {
    super();
    this.peerId = peerId;
    this.attempt = attempt;
    this.offers = offers;
    /** The platform's own object: add tracks and channels of your own, they are negotiated. */
    this.pc = pc;
    this.#signal = signal;
    this.#clock = clock;
    this.#recoveryTimeout = recoveryTimeout;
    /** @type {Promise<Link>} resolves when messages can be sent, rejects with a PeerError */
    this.opened = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever did not ask for `opened` still hears `close`.
    this.opened.catch(() => {});
    this.#timer = clock.setTimeout(() => this.expire(), timeout);
    this.#path = new Path(peerId, pc);
    this.#negotiation = this.#negotiate();
    // Both ends declare the same channel, so neither has to wait for being told of it.
    const channel = pc.createDataChannel("handclasp", { negotiated: true, id: 0 });
    this.#link = new Link(channel, { clock });
    this.#listen(channel);
  }

  /** @returns {boolean} */
  get isOpen() {
    return this.#recovery !== null && !this.#closed;
  }

  /**
   * @returns {import("../share/key-proof.js").Fingerprints} of the two ends, as this side negotiated them
   */
  fingerprints() {
    return {
      own: fingerprintsOf(this.pc.localDescription?.sdp ?? ""),
      other: fingerprintsOf(this.pc.remoteDescription?.sdp ?? ""),
    };
  }

  /** @returns {import("./ice-report.js").PathReport} what ICE has found so far */
  path() {
    return this.#path.report();
  }

  /**
   * Makes the first offer and sends it.
   *
   * @param {() => object} [more] what goes with it, asked when it leaves
   */
  offer(more) {
    this.#negotiation.begin(more);
  }

  /**
   * Works in a signal of the other side.
   *
   * @param {import("./negotiation.js").SignalEvent} event
   * @param {any} payload as it came; its attempt is the caller's to compare
   */
  take(event, payload) {
    if (event === "candidate") this.#path.heard(payload.candidate);
    this.#negotiation.take(event, payload);
  }

  /** The other side may not have heard, or may be another page by now: says the last description once more. */
  repeat() {
    this.#negotiation.repeat();
  }

  /** The broker is there again: what it may have lost is said once more. */
  resume() {
    this.#negotiation.resume();
    this.#recovery?.retry();
  }

  /** The device changed networks: the old path is likely dead, whatever ICE believes. */
  networkChanged() {
    this.#recovery?.networkChanged();
  }

  /** There is reason to doubt that the other side lives: if it gives no sign, this closes. */
  async probe() {
    if (this.isOpen && !(await this.#link.probe())) this.close(lost());
  }

  /** Gives up waiting, and says what was found on the way. */
  expire() {
    this.close(this.isOpen ? lost() : new PeerError("no_path", String(this.#path), { path: this.path() }));
  }

  /** @param {PeerError} [reason] what `close` tells (default: closed on this side) */
  close(reason = new PeerError("closed", "connection closed on this side")) {
    if (this.#closed) return;
    this.#closed = true;
    this.#clock.clearTimeout(this.#timer);
    this.#recovery?.stop();
    this.#negotiation.stop();
    this.#link.close(reason);
    this.pc.close();
    this.#reject(reason);
    this.emit("close", reason);
  }

  #negotiate() {
    return new Negotiation({
      pc: this.pc,
      polite: !this.offers,
      send: (event, body) => this.#signal(event, { peer_id: this.peerId, attempt: this.attempt, ...body }),
      failed: (error) => this.close(asPeerError(error)),
      unsent: (error) => this.#unsent(error),
    });
  }

  /** @param {RTCDataChannel} channel */
  #listen(channel) {
    const { pc } = this;
    pc.addEventListener("connectionstatechange", () => {
      // A path that broke can be mended; one that never was, or a dead DTLS session, cannot.
      if (pc.connectionState === "failed" && !(this.isOpen && pc.iceConnectionState === "failed")) this.expire();
    });
    channel.addEventListener("open", () => this.#opened());
    channel.addEventListener("close", () => this.close(lost()));
  }

  #opened() {
    if (this.#closed) return;
    this.#clock.clearTimeout(this.#timer);
    this.#recovery = new Recovery({
      pc: this.pc,
      clock: this.#clock,
      timeout: this.#recoveryTimeout,
      changed: (interrupted) => this.emit(interrupted ? "interrupted" : "restored"),
      giveUp: () => this.expire(),
    });
    // The channel may open before the browser shows the description that opened it,
    // and whoever gets the link wants the fingerprints at once.
    this.#negotiation.afterwards(async () => this.#resolve(this.#link));
  }

  /** @param {Error & {reason?: string}} error */
  #unsent(error) {
    if (!this.isOpen) this.close(asPeerError(error));
    // An open connection is worth more than the broker's word, unless both say the same.
    else if (error.reason === "peer_not_found") void this.probe();
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
