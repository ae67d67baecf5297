/**
 * The handshakes of one peer with others: who calls, who offers, who answers, which of
 * several attempts stands, and that the other side hears of it when one is given up. What
 * is done with a description is negotiation.js's.
 *
 * Signals: `connect` (arrives as `peer_connect`) asks for an `offer`; `answer` and `candidate`
 * follow it, `busy` or `hangup` refuse. An attempt has a name, given by who offers.
 */

import { randomBytes, toBase64url } from "../util/bytes.js";
import { Call } from "./outgoing-call.js";
import { Connection } from "./connection.js";
import { Connections } from "./connection-table.js";
import { HandclaspError, PeerError } from "../util/errors.js";

/**
 * @typedef {object} HandshakeOptions
 * @property {string} id this side's
 * @property {import("../channels/channel.js").Channel} channel `peer:<id>`
 * @property {import("../util/clock.js").Clock} clock
 * @property {(config: RTCConfiguration) => RTCPeerConnection} createConnection
 * @property {number} timeout ms from calling to an open channel
 * @property {number} recoveryTimeout ms for which a broken path may be mended
 * @property {number} maxConnections incoming ones beyond it are told `busy`
 * @property {(connection: Connection) => void} incoming told of each open one that was not called for
 */

export class Handshakes {
  /** @type {RTCIceServer[]} for those to come */
  iceServers = [];
  #id;
  #channel;
  #clock;
  #createConnection;
  #timeout;
  #recoveryTimeout;
  #maxConnections;
  #incoming;
  #connections = new Connections();
  /** @type {Map<string, Call>} by peer id */
  #calls = new Map();

  /** @param {HandshakeOptions} options */
  constructor({ id, channel, clock, createConnection, timeout, recoveryTimeout, maxConnections, incoming }) {
    this.#id = id;
    this.#channel = channel;
    this.#clock = clock;
    this.#createConnection = createConnection;
    this.#timeout = timeout;
    this.#recoveryTimeout = recoveryTimeout;
    this.#maxConnections = maxConnections;
    this.#incoming = incoming;
    channel.on("peer_connect", ({ peer_id }) => this.#called(peer_id));
    channel.on("offer", (payload) => this.#offered(payload));
    channel.on("answer", (payload) => this.#answered(payload));
    channel.on("candidate", (payload) => this.#candidate(payload));
    channel.on("hangup", (payload) => this.#hungUp(payload));
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
    if (signal?.aborted) return Promise.reject(new PeerError("aborted", `call to ${peerId} was given up`));
    const ended = () => {
      if (this.#calls.get(peerId) === call) this.#calls.delete(peerId);
    };
    const call = new Call(peerId, { clock: this.#clock, timeout, signal, ended });
    this.#calls.set(peerId, call);
    this.#ring(peerId);
    return call.answered;
  }

  /** Signals flow again: what may have been lost is said once more. */
  resume() {
    for (const connection of this.#connections.all()) connection.resume();
    for (const [peerId, call] of this.#calls) {
      if (!call.isRinging && !this.#connections.attempt(peerId)) this.#ring(peerId);
    }
  }

  /** The device changed networks. */
  networkChanged() {
    for (const connection of this.#connections.all()) connection.networkChanged();
  }

  /** @param {string} peerId is there again, perhaps as a new page that knows nothing of what was begun */
  wentUp(peerId) {
    const attempt = this.#connections.attempt(peerId);
    if (attempt) attempt.repeat();
    else if (this.#calls.has(peerId)) this.#ring(peerId);
  }

  /** @param {string} peerId may have lost only the broker; a connection that still works is kept */
  wentDown(peerId) {
    void this.#connections.open(peerId)?.probe();
  }

  /**
   * No signal will come any more; what is open needs none.
   *
   * @param {string} why
   */
  endCalls(why) {
    for (const call of [...this.#calls.values()]) call.reject(new PeerError("closed", why));
  }

  /** Ends every call and every connection. */
  close() {
    this.endCalls("peer was closed");
    for (const connection of this.#connections.all()) connection.close();
  }

  /** @param {string} peerId is called, and so asked for an offer */
  #ring(peerId) {
    const call = /** @type {Call} */ (this.#calls.get(peerId));
    call.isRinging = true;
    this.#channel.push("connect", { peer_id: peerId }, { timeout: call.timeout }).then(
      () => (call.isRinging = false),
      (error) => call.reject(asPeerError(error)),
    );
  }

  /**
   * Somebody wants to talk to us: this side makes the offer.
   *
   * @param {string} peerId
   */
  #called(peerId) {
    const call = this.#calls.get(peerId);
    if (call?.isAnswering) {
      // Both called, and the offer that is being answered serves both. If it is a new page that
      // calls, it does not know the offer, and says so when it hears the answer.
      call.share();
      this.#connections.attempt(peerId)?.repeat();
      return;
    }
    this.#offer(peerId);
  }

  /** @param {string} peerId */
  #offer(peerId) {
    if (this.#connections.others(peerId) >= this.#maxConnections) {
      this.#channel.push("busy", { peer_id: peerId }).catch(() => {}); // who left needs no answer
      return;
    }
    const connection = this.#make(peerId, toBase64url(randomBytes(9)), true);
    // As it is when the offer leaves: this side may call until then.
    connection?.offer(() => ({ calling: this.#calls.has(peerId) }));
  }

  /** @param {any} payload */
  #offered(payload) {
    const { peer_id, attempt } = payload;
    const current = this.#connections.of(payload);
    if (current) return current.take("offer", payload);
    const call = this.#calls.get(peer_id);
    // Only who was called may make us answer, and so reveal our addresses.
    if (!call) return this.#hangUp(payload);
    if (call.knows(attempt) || this.#isStronger(payload)) return;
    const connection = this.#make(peer_id, attempt, false);
    if (!connection) return;
    const early = call.adopt(connection);
    if (payload.calling === true) call.share();
    connection.take("offer", payload);
    for (const candidate of early) connection.take("candidate", candidate);
  }

  /**
   * Both called and both made an offer: that of the greater id stands, on both sides.
   *
   * @param {any} payload
   * @returns {boolean} whether our own offer stands against this one
   */
  #isStronger({ peer_id, calling }) {
    return calling === true && this.#connections.attempt(peer_id)?.offers === true && this.#id > peer_id;
  }

  /** @param {any} payload */
  #answered(payload) {
    const connection = this.#connections.of(payload);
    if (connection) connection.take("answer", payload);
    else this.#hangUp(payload);
  }

  /**
   * Tells the other side that an attempt is over, or unknown here: it need not wait for it.
   *
   * @param {{peer_id: string, attempt: string}} attempt
   */
  #hangUp({ peer_id, attempt }) {
    this.#channel.push("hangup", { peer_id, attempt }).catch(() => {}); // who left waits for nothing
  }

  /** @param {{peer_id: string, attempt: string}} payload */
  #hungUp(payload) {
    const { peer_id } = payload;
    const connection = this.#connections.of(payload);
    const call = this.#calls.get(peer_id);
    if (!connection) return;
    if (connection.isOpen) return void connection.probe();
    // Its new page calls us, and has nothing to do with what the old one had offered.
    if (call?.isShared) {
      call.release();
      return this.#offer(peer_id);
    }
    const error = new PeerError("closed", `${peer_id} gave the attempt up, or its page is another one`);
    this.#connections.closed(connection); // so that it is not told of what it knows
    connection.close(error);
    // What was offered for its call is no answer to ours.
    if (call && connection.offers) this.#ring(peer_id);
    else call?.reject(error);
  }

  /** @param {any} payload */
  #candidate(payload) {
    const connection = this.#connections.of(payload);
    if (connection) connection.take("candidate", payload);
    else this.#calls.get(payload.peer_id)?.keep(payload);
  }

  /**
   * @param {string} peerId
   * @param {string} attempt
   * @param {boolean} offers
   * @returns {Connection | null} null when the platform makes none: it has none, or has too many
   */
  #make(peerId, attempt, offers) {
    const pc = this.#makePc(peerId, attempt);
    if (!pc) return null;
    const connection = new Connection({
      peerId,
      attempt,
      offers,
      pc,
      signal: (event, body) => this.#channel.push(event, body),
      clock: this.#clock,
      timeout: this.#timeout,
      recoveryTimeout: this.#recoveryTimeout,
    });
    connection.opened.then(
      () => this.#opened(connection),
      () => {}, // its `close` tells
    );
    connection.on("close", (error) => this.#closed(connection, error));
    this.#connections.begun(connection);
    return connection;
  }

  /**
   * @param {string} peerId
   * @param {string} attempt
   */
  #makePc(peerId, attempt) {
    try {
      return this.#createConnection({ iceServers: this.iceServers });
    } catch (error) {
      this.#hangUp({ peer_id: peerId, attempt });
      this.#calls.get(peerId)?.reject(asPeerError(/** @type {Error} */ (error)));
      return null;
    }
  }

  /** @param {Connection} connection given to whoever asked for it, once */
  #opened(connection) {
    this.#connections.opened(connection);
    const call = this.#calls.get(connection.peerId);
    if (call) call.resolve(connection);
    else this.#incoming(connection);
  }

  /**
   * @param {Connection} connection
   * @param {PeerError} error
   */
  #closed(connection, error) {
    // A newer attempt may have replaced this one, and then answers for the call.
    if (!this.#connections.closed(connection)) return;
    const { peerId, attempt } = connection;
    if (error.reason !== "absent") this.#hangUp({ peer_id: peerId, attempt });
    this.#calls.get(peerId)?.reject(error);
  }
}

/** @param {Error} error */
function asPeerError(error) {
  const reason = error instanceof HandclaspError ? error.reason : "failed";
  return new PeerError(reason === "peer_not_found" ? "absent" : reason, error.message, { cause: error });
}
