/**
 * The signaling of one peer with all others: calls, offers and answers, the choice between colliding
 * attempts, and telling the other side when an attempt is abandoned. negotiation.js handles the
 * descriptions.
 *
 * Signals: `connect` (arrives as `peer_connect`) requests an `offer`; `answer` and `candidate` follow;
 * `busy` and `hangup` refuse; a `hangup` says the reason. The offerer gives each attempt an id.
 * Offers and answers have the sender's name, if it has one.
 */

import { randomBytes, toBase64url } from "../util/bytes.js";
import { Connection } from "./connection.js";
import { ConnectionTable } from "./connection-table.js";
import { PeerError, toPeerError } from "./errors.js";
import { OutgoingCall } from "./outgoing-call.js";

/** How long the other side may be silent when the page is shown again (ms): the network may have slept, too. */
const PAGE_RETURN_TIMEOUT = 5_000;

/**
 * @typedef {object} SignalingOptions
 * @property {string} id of this side
 * @property {string | null} name that the id is derived from
 * @property {import("../channels/channel.js").Channel} channel `peer:<id>`
 * @property {import("../util/clock.js").Clock} clock
 * @property {(config: RTCConfiguration) => RTCPeerConnection} createConnection
 * @property {number} timeout ms from a call to an open connection
 * @property {number} recoveryTimeout ms that an interrupted connection may take to recover
 * @property {number} maxConnections further incoming calls are answered with `busy`
 * @property {(connection: Connection) => void} onConnection called for each incoming connection, once it is open
 */

export class Signaling {
  /** @type {RTCIceServer[]} for new connections */
  iceServers = [];
  #id;
  #name;
  #channel;
  #clock;
  #createConnection;
  #timeout;
  #recoveryTimeout;
  #maxConnections;
  #onConnection;
  #connections = new ConnectionTable();
  /** @type {Map<string, OutgoingCall>} by peer id */
  #calls = new Map();

  /** @param {SignalingOptions} options */
  constructor({ id, name, channel, clock, createConnection, timeout, recoveryTimeout, maxConnections, onConnection }) {
    this.#id = id;
    this.#name = name ?? undefined; // absent in JSON
    this.#channel = channel;
    this.#clock = clock;
    this.#createConnection = createConnection;
    this.#timeout = timeout;
    this.#recoveryTimeout = recoveryTimeout;
    this.#maxConnections = maxConnections;
    this.#onConnection = onConnection;
    channel.on("peer_connect", ({ peer_id }) => this.#handleConnect(peer_id));
    channel.on("offer", (payload) => this.#handleOffer(payload));
    channel.on("answer", (payload) => this.#handleAnswer(payload));
    channel.on("candidate", (payload) => this.#handleCandidate(payload));
    channel.on("hangup", (payload) => this.#handleHangup(payload));
    channel.on("busy", ({ peer_id }) => {
      this.#calls.get(peer_id)?.reject(new PeerError("busy", `${peer_id} has too many connections`));
    });
  }

  /**
   * @param {string} peerId
   * @param {object} options
   * @param {AbortSignal} [options.signal]
   * @param {number} [options.timeout] ms
   * @returns {Promise<Connection>} open
   */
  call(peerId, { signal, timeout = this.#timeout }) {
    this.#calls.get(peerId)?.reject(new PeerError("aborted", `another call to ${peerId} was made`));
    if (signal?.aborted) return Promise.reject(new PeerError("aborted", `call to ${peerId} was aborted`));
    const onSettled = () => {
      if (this.#calls.get(peerId) === call) this.#calls.delete(peerId);
    };
    const call = new OutgoingCall(peerId, { clock: this.#clock, timeout, signal, onSettled });
    this.#calls.set(peerId, call);
    this.#sendConnect(peerId);
    return call.connected;
  }

  /** The broker is reachable again: resends what may be lost. */
  resume() {
    for (const connection of this.#connections.all()) connection.resume();
    for (const [peerId, call] of this.#calls) {
      if (!call.isRequestPending && !this.#connections.getAttempt(peerId)) this.#sendConnect(peerId);
    }
  }

  /** The device changed networks. */
  networkChanged() {
    for (const connection of this.#connections.all()) connection.networkChanged();
  }

  /** The page is shown again: connections may have died while it was hidden. */
  probe() {
    for (const connection of this.#connections.all()) void connection.probe(PAGE_RETURN_TIMEOUT);
  }

  /** @param {string} peerId is online again, maybe as a new page that does not know of earlier signals */
  peerUp(peerId) {
    const attempt = this.#connections.getAttempt(peerId);
    if (attempt) attempt.resendDescription();
    else if (this.#calls.has(peerId)) this.#sendConnect(peerId);
  }

  /** @param {string} peerId may have lost only the broker; a connection that still works is kept */
  peerDown(peerId) {
    void this.#connections.getOpen(peerId)?.probe();
  }

  /**
   * No signal will arrive any more. Open connections do not need any.
   *
   * @param {Error} error why
   */
  rejectCalls(error) {
    for (const call of [...this.#calls.values()]) call.reject(toPeerError(error, "failed"));
  }

  /** Rejects all calls and closes all connections. */
  close() {
    this.rejectCalls(new PeerError("closed", "peer was closed"));
    for (const connection of this.#connections.all()) connection.close();
  }

  /** @param {string} peerId of a called peer, which is requested to make an offer */
  #sendConnect(peerId) {
    const call = /** @type {OutgoingCall} */ (this.#calls.get(peerId));
    call.isRequestPending = true;
    this.#channel.push("connect", { peer_id: peerId }, { timeout: call.timeout }).then(
      () => (call.isRequestPending = false),
      (error) => call.reject(toPeerError(error, "failed")),
    );
  }

  /**
   * The peer calls: this side makes the offer.
   *
   * @param {string} peerId
   */
  #handleConnect(peerId) {
    const call = this.#calls.get(peerId);
    if (call?.isAnswering) {
      // Both sides call, and the offer that is being answered serves both. A new page of the peer does
      // not know that offer; it will send `hangup` when it receives the answer.
      call.markMutual();
      this.#connections.getAttempt(peerId)?.resendDescription();
      return;
    }
    this.#sendOffer(peerId);
  }

  /** @param {string} peerId */
  #sendOffer(peerId) {
    if (this.#connections.countOthers(peerId) >= this.#maxConnections) {
      this.#channel.push("busy", { peer_id: peerId }).catch(() => {}); // an absent peer needs no answer
      return;
    }
    const connection = this.#openConnection(peerId, toBase64url(randomBytes(9)), true);
    // Evaluated when the offer is sent: this side may start a call until then.
    connection?.sendOffer(() => ({ calling: this.#calls.has(peerId) }));
  }

  /** @param {any} payload */
  #handleOffer(payload) {
    const { peer_id, attempt } = payload;
    const current = this.#connections.find(payload);
    if (current) return current.handleSignal("offer", payload);
    const call = this.#calls.get(peer_id);
    // Only a called peer may make this side answer, because the answer reveals its addresses.
    if (!call) return this.#sendHangup(payload);
    if (call.hasAnswered(attempt) || this.#prefersOwnOffer(payload)) return;
    const connection = this.#openConnection(peer_id, attempt, false);
    if (!connection) return;
    const candidates = call.attach(connection);
    if (payload.calling === true) call.markMutual();
    connection.handleSignal("offer", payload);
    for (const candidate of candidates) connection.handleSignal("candidate", candidate);
  }

  /**
   * Both sides call and both have made an offer: both sides use that of the greater id.
   *
   * @param {any} payload
   * @returns {boolean} whether this side's offer wins
   */
  #prefersOwnOffer({ peer_id, calling }) {
    return calling === true && this.#connections.getAttempt(peer_id)?.isOfferer === true && this.#id > peer_id;
  }

  /** @param {any} payload */
  #handleAnswer(payload) {
    const connection = this.#connections.find(payload);
    if (connection) connection.handleSignal("answer", payload);
    else this.#sendHangup(payload);
  }

  /**
   * Tells the other side that an attempt is over, or unknown here, so that it need not wait.
   *
   * @param {{peer_id: string, attempt: string}} attempt
   * @param {string} [reason] of the error that ended the attempt
   */
  #sendHangup({ peer_id, attempt }, reason) {
    this.#channel.push("hangup", { peer_id, attempt, reason }).catch(() => {}); // an absent peer waits for nothing
  }

  /** @param {{peer_id: string, attempt: string, reason?: string}} payload */
  #handleHangup(payload) {
    const { peer_id } = payload;
    const hasNoPath = payload.reason === "no_path";
    const connection = this.#connections.find(payload);
    const call = this.#calls.get(peer_id);
    if (payload.reason === "too_big" && call && !connection?.isOpen) {
      // An offer that was too big has not arrived, so its attempt is unknown here.
      call.reject(new PeerError("too_big", `${peer_id} cannot send its description: it is larger than the server's limit`));
    }
    if (!connection) {
      if (payload.reason === "negotiation") call?.reject(new PeerError("negotiation", `${peer_id} could not make an offer`));
      return;
    }
    if (connection.isOpen) return void connection.probe();
    // A new page of the peer calls this side and does not know the offer of the previous page.
    if (call?.isMutual && !hasNoPath) {
      call.detach();
      return this.#sendOffer(peer_id);
    }
    // Both sides have the same reason, whichever of them gave up first.
    const error = hasNoPath ? connection.noPath() : new PeerError("closed", `${peer_id} abandoned the attempt, or its page was reloaded`);
    this.#connections.remove(connection); // first, so that no hangup is sent back
    connection.close(error);
    // An offer that was made for the peer's call does not answer this side's call.
    if (call && connection.isOfferer && !hasNoPath) this.#sendConnect(peer_id);
    else call?.reject(error);
  }

  /** @param {any} payload */
  #handleCandidate(payload) {
    const connection = this.#connections.find(payload);
    if (connection) connection.handleSignal("candidate", payload);
    else this.#calls.get(payload.peer_id)?.addEarlyCandidate(payload);
  }

  /**
   * @param {string} peerId
   * @param {string} attempt
   * @param {boolean} isOfferer
   * @returns {Connection | null} null when the platform cannot create an RTCPeerConnection
   */
  #openConnection(peerId, attempt, isOfferer) {
    const pc = this.#createPc(peerId, attempt);
    if (!pc) return null;
    const connection = new Connection({
      peerId,
      attempt,
      isOfferer,
      pc,
      sendSignal: (event, body) => this.#channel.push(event, event === "candidate" ? body : { ...body, name: this.#name }),
      clock: this.#clock,
      timeout: this.#timeout,
      recoveryTimeout: this.#recoveryTimeout,
    });
    connection.opened.then(
      () => this.#opened(connection),
      () => {}, // `close` reports it
    );
    connection.on("close", (error) => this.#closed(connection, error));
    this.#connections.addAttempt(connection);
    return connection;
  }

  /**
   * @param {string} peerId
   * @param {string} attempt
   */
  #createPc(peerId, attempt) {
    try {
      return this.#createConnection({ iceServers: this.iceServers });
    } catch (error) {
      this.#sendHangup({ peer_id: peerId, attempt });
      this.#calls.get(peerId)?.reject(toPeerError(/** @type {Error} */ (error), "failed"));
      return null;
    }
  }

  /** @param {Connection} connection given either to the caller or to `onConnection` */
  #opened(connection) {
    this.#connections.markOpen(connection);
    const call = this.#calls.get(connection.peerId);
    if (call) call.resolve(connection);
    else this.#onConnection(connection);
  }

  /**
   * @param {Connection} connection
   * @param {PeerError} error
   */
  #closed(connection, error) {
    // A newer attempt may have replaced this one, and then decides about the call.
    if (!this.#connections.remove(connection)) return;
    const { peerId, attempt } = connection;
    if (error.reason !== "absent") this.#sendHangup({ peer_id: peerId, attempt }, error.reason);
    this.#calls.get(peerId)?.reject(error);
  }
}
