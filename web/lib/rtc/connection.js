/**
 * A connection to one peer: an RTCPeerConnection with a data channel, from the first attempt until it
 * is closed. negotiation.js exchanges the descriptions, ice-recovery.js restores broken connections,
 * signaling.js decides who is called.
 */

import { deferred } from "../util/deferred.js";
import { Emitter } from "../util/emitter.js";
import { PeerError, toPeerError } from "./errors.js";
import { fingerprintsOf } from "./fingerprints.js";
import { checkedName } from "./identity.js";
import { IceRecovery } from "./ice-recovery.js";
import { IceMonitor } from "./ice-report.js";
import { RtcMessageChannel } from "./message-channel.js";
import { Negotiation } from "./negotiation.js";

/**
 * @typedef {object} ConnectionOptions
 * @property {string} peerId of the remote peer
 * @property {string} attempt identifies this attempt, so that answers to an earlier one are ignored
 * @property {boolean} isOfferer whether this side makes the first offer
 * @property {RTCPeerConnection} pc
 * @property {(event: string, body: object) => Promise<any>} sendSignal
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} timeout ms until it has to be open
 * @property {number} recoveryTimeout ms that an interrupted connection may take to recover
 */

/**
 * `opened` resolves when messages can be sent. The event `close` is emitted once, whatever the cause,
 * with a PeerError; before that, `interrupted` when the connection breaks and `restored` when it works
 * again. Messages that were sent in between arrive then.
 *
 * @extends {Emitter<{close: [PeerError], interrupted: [], restored: []}>}
 */
export class Connection extends Emitter {
  /** @type {string} @internal */
  attempt;
  /** @type {boolean} @internal */
  isOfferer;
  #sendSignal;
  #clock;
  #timer;
  #recoveryTimeout;
  #messageChannel;
  #iceMonitor;
  #negotiation;
  /** @type {IceRecovery | null} set once the connection was open */
  #recovery = null;
  #isClosed = false;
  /** @type {string | null} */
  #peerName = null;
  /** @type {import("../util/deferred.js").Deferred<RtcMessageChannel>} settles `opened`; `close` reports a failure too */
  #opening = deferred();

  /**
   * @param {ConnectionOptions} options
   * @internal
   */
  constructor({ peerId, attempt, isOfferer, pc, sendSignal, clock, timeout, recoveryTimeout }) {
    super();
    this.peerId = peerId;
    this.attempt = attempt;
    this.isOfferer = isOfferer;
    /** The platform's object. Tracks and channels that you add to it are negotiated. */
    this.pc = pc;
    this.#sendSignal = sendSignal;
    this.#clock = clock;
    this.#recoveryTimeout = recoveryTimeout;
    /** @type {Promise<RtcMessageChannel>} rejects with a PeerError */
    this.opened = this.#opening.promise;
    this.#timer = clock.setTimeout(() => this.expire(), timeout);
    this.#iceMonitor = new IceMonitor(peerId, pc);
    this.#negotiation = this.#createNegotiation();
    // Both ends create the same negotiated channel, so neither has to wait for a `datachannel` event.
    const dataChannel = pc.createDataChannel("handclasp", { negotiated: true, id: 0 });
    this.#messageChannel = new RtcMessageChannel(dataChannel, { clock });
    this.#listen(dataChannel);
  }

  /** @returns {boolean} */
  get isOpen() {
    return this.#recovery !== null && !this.#isClosed;
  }

  /** @returns {string | null} the name that the remote peer gave, if its id is the one of that name */
  get peerName() {
    return this.#peerName;
  }

  /** @returns {import("./fingerprints.js").Fingerprints} as this side has negotiated them */
  fingerprints() {
    return {
      local: fingerprintsOf(this.pc.localDescription?.sdp ?? ""),
      remote: fingerprintsOf(this.pc.remoteDescription?.sdp ?? ""),
    };
  }

  /** @returns {import("./ice-report.js").IceReport} what ICE has found so far */
  iceReport() {
    return this.#iceMonitor.report();
  }

  /**
   * Makes the first offer and sends it.
   *
   * @param {() => object} [extra] fields to send with it; called when it is sent
   * @internal
   */
  sendOffer(extra) {
    this.#negotiation.start(extra);
  }

  /**
   * @param {import("./negotiation.js").SignalEvent} event
   * @param {any} payload as received; the caller has compared its attempt
   * @internal
   */
  handleSignal(event, payload) {
    if (event === "candidate") this.#iceMonitor.addRemoteCandidate(payload.candidate);
    else this.#peerName ??= checkedName(payload.name, this.peerId);
    this.#negotiation.handleSignal(event, payload);
  }

  /**
   * Sends the last description again: it may be lost, or the remote side may be another page by now.
   *
   * @internal
   */
  resendDescription() {
    this.#negotiation.resendDescription();
  }

  /**
   * The broker is reachable again: resends what may be lost.
   *
   * @internal
   */
  resume() {
    this.#negotiation.resume();
    this.#recovery?.retry();
  }

  /**
   * The device changed networks, so the current path is probably dead, whatever ICE reports.
   *
   * @internal
   */
  networkChanged() {
    this.#recovery?.networkChanged();
  }

  /**
   * Pings the remote side, which may be dead, and closes the connection if no answer arrives.
   *
   * @param {number} [timeout] ms of silence that count as death (default: see RtcMessageChannel)
   * @internal
   */
  async probe(timeout) {
    if (this.isOpen && !(await this.#messageChannel.probe(timeout))) this.close(lost());
  }

  /**
   * Gives up, with what ICE found as the reason.
   *
   * @internal
   */
  expire() {
    this.close(this.isOpen ? lost() : this.noPath());
  }

  /**
   * @returns {PeerError} with what ICE found
   * @internal
   */
  noPath() {
    return new PeerError("no_path", String(this.#iceMonitor), { iceReport: this.iceReport() });
  }

  /** @param {PeerError} [reason] the argument of the event `close` (default: closed on this side) */
  close(reason = new PeerError("closed", "connection closed on this side")) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#clock.clearTimeout(this.#timer);
    this.#recovery?.stop();
    this.#negotiation.stop();
    this.#messageChannel.close(reason);
    this.pc.close();
    this.#opening.reject(reason);
    this.emit("close", reason);
  }

  #createNegotiation() {
    return new Negotiation({
      pc: this.pc,
      isPolite: !this.isOfferer,
      send: (event, body) => this.#sendSignal(event, { peer_id: this.peerId, attempt: this.attempt, ...body }),
      onFailure: (error) => this.close(toPeerError(error, "negotiation")),
      onUndelivered: (error) => this.#signalUndelivered(error),
    });
  }

  /** @param {RTCDataChannel} dataChannel */
  #listen(dataChannel) {
    const { pc } = this;
    pc.addEventListener("connectionstatechange", () => {
      // An ICE failure after opening can be recovered. One before it, or a dead DTLS session, cannot.
      if (pc.connectionState === "failed" && !(this.isOpen && pc.iceConnectionState === "failed")) this.expire();
    });
    dataChannel.addEventListener("open", () => this.#opened());
    dataChannel.addEventListener("close", () => this.close(lost()));
  }

  #opened() {
    if (this.#isClosed) return;
    this.#clock.clearTimeout(this.#timer);
    this.#recovery = new IceRecovery({
      pc: this.pc,
      clock: this.#clock,
      timeout: this.#recoveryTimeout,
      onChange: (isInterrupted) => this.emit(isInterrupted ? "interrupted" : "restored"),
      onTimeout: () => this.expire(),
    });
    // The channel may open before the browser exposes the description that opened it, and the caller
    // may need the fingerprints at once.
    this.#negotiation.enqueue(async () => this.#opening.resolve(this.#messageChannel));
  }

  /** @param {Error & {reason?: string}} error */
  #signalUndelivered(error) {
    // A description that is too big stays too big, and the negotiation cannot go on without it.
    if (!this.isOpen || error.reason === "too_big") this.close(toPeerError(error, "negotiation"));
    // An open connection is kept, unless the peer is unknown to the broker and does not answer either.
    else if (error.reason === "peer_not_found") void this.probe();
  }
}

function lost() {
  return new PeerError("lost", "connection was closed by the other side or by the network");
}
