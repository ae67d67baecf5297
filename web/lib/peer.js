/**
 * A browser's place at the broker: it joins `peer:<id>`, calls other peers, is called by
 * them, and passes their signals to the right connection. The handshake of one
 * connection is connection.js's; staying joined is channel.js's.
 *
 *     const peer = new Peer(new Socket("/socket"), await createIdentity());
 *     peer.on("connection", async (connection) => (await connection.opened).send({ type: "hi" }));
 *     await peer.join();
 *     const connection = await peer.connect(otherId);
 */

import { onAbort, unlessAborted } from "./abort.js";
import { randomBytes, toBase64url } from "./bytes.js";
import { Call } from "./call.js";
import { Connection } from "./connection.js";
import { Connections } from "./connections.js";
import { Emitter } from "./emitter.js";
import { HandclaspError, PeerError, RefusedError } from "./errors.js";
import { onNetworkChange } from "./network.js";

/**
 * @typedef {object} PeerOptions
 * @property {(config: RTCConfiguration) => RTCPeerConnection} [createConnection]
 * @property {number} [timeout] ms from calling to an open channel (default 30 000)
 * @property {number} [recoveryTimeout] ms for which a broken path may be mended (default 15 000)
 * @property {number} [maxConnections] incoming ones beyond it are told `busy` (default 64)
 */

/**
 * Events: `connection` for each incoming one, once it is open; `up` and `down` with the
 * id of a watched peer; `state` with the channel's state and detail.
 *
 * @extends {Emitter<{connection: [Connection], up: [string], down: [string],
 *   state: [import("./channel.js").ChannelState, any]}>}
 */
export class Peer extends Emitter {
  #channel;
  #clock;
  #network;
  #createConnection;
  #timeout;
  #recoveryTimeout;
  #maxConnections;
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  #connections = new Connections();
  /** @type {Map<string, Call>} by peer id */
  #calls = new Map();
  /** @type {Set<string>} */
  #watched = new Set();
  #unlistenNetwork = () => {};

  /**
   * @param {import("./socket.js").Socket} socket
   * @param {import("./identity.js").Identity} identity
   * @param {PeerOptions} [options]
   */
  constructor(socket, identity, options = {}) {
    super();
    this.id = identity.peerId;
    this.#clock = socket.clock;
    this.#network = socket.network;
    this.#createConnection = options.createConnection ?? ((config) => new RTCPeerConnection(config));
    this.#timeout = options.timeout ?? 30_000;
    this.#recoveryTimeout = options.recoveryTimeout ?? 15_000;
    this.#maxConnections = options.maxConnections ?? 64;
    this.#channel = socket.channel(`peer:${this.id}`, { secret: identity.secret });
    this.#listen();
  }

  /**
   * @param {object} [options]
   * @param {number} [options.timeout] ms (default: the socket's)
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<{peer_id: string, ice_servers: RTCIceServer[]}>}
   * @throws {RefusedError | import("./errors.js").TimeoutError | import("./errors.js").AbortedError}
   */
  join(options) {
    return this.#channel.join(options);
  }

  /**
   * Asks a peer for a connection; the peer makes the offer. A second call to the same
   * peer gives up the first. Two that call each other at once get the same connection.
   *
   * @param {string} peerId
   * @param {object} [options]
   * @param {AbortSignal} [options.signal]
   * @param {number} [options.timeout] ms (default: the peer's)
   * @returns {Promise<Connection>} open
   * @throws {PeerError} with `no_path`, its `path` and message say what ICE found
   */
  connect(peerId, { signal, timeout = this.#timeout } = {}) {
    this.#calls.get(peerId)?.reject(new PeerError("aborted", `another call to ${peerId} was made`));
    if (signal?.aborted) return Promise.reject(new PeerError("aborted", `call to ${peerId} was given up`));
    const ended = () => {
      if (this.#calls.get(peerId) === call) this.#calls.delete(peerId);
    };
    const call = new Call(peerId, { clock: this.#clock, timeout, signal, ended });
    this.#calls.set(peerId, call);
    this.#channel.push("connect", { peer_id: peerId }, { timeout }).catch((error) => call.reject(asPeerError(error)));
    return call.answered;
  }

  /**
   * Follows a peer's presence with the events `up` and `down`, from now on and over
   * reconnects, until `unwatch`.
   *
   * @param {string} peerId
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] ends the watch, whenever it is given
   * @returns {Promise<boolean>} whether it is there now
   * @throws {HandclaspError}
   */
  watch(peerId, { signal } = {}) {
    if (!signal?.aborted) {
      this.#watched.add(peerId);
      onAbort(signal, () => void this.unwatch(peerId).catch(() => {})); // who is gone watches nobody
    }
    return unlessAborted(this.#askPresence(peerId, signal), signal, `watch of ${peerId}`);
  }

  /** @param {string} peerId not to be followed any longer */
  async unwatch(peerId) {
    if (this.#watched.delete(peerId)) await this.#channel.push("unwatch", { peer_id: peerId });
  }

  /** Leaves the topic and closes every connection. */
  close() {
    this.#unlistenNetwork();
    for (const call of [...this.#calls.values()]) call.reject(new PeerError("closed", "peer was closed"));
    for (const connection of this.#connections.all()) connection.close();
    this.#channel.leave();
  }

  /**
   * @param {string} peerId
   * @param {AbortSignal} [signal]
   */
  async #askPresence(peerId, signal) {
    try {
      const { online } = await this.#channel.push("watch", { peer_id: peerId }, { signal });
      return online;
    } catch (error) {
      // Refused for good; after any other failure the next join asks again.
      if (error instanceof RefusedError) this.#watched.delete(peerId);
      throw error;
    }
  }

  #listen() {
    const channel = this.#channel;
    channel.onState((state, detail) => {
      if (state === "joined") this.#joined(detail);
      if (state === "closed") this.#unlistenNetwork();
      this.emit("state", state, detail);
    });
    channel.on("peer_connect", ({ peer_id }) => this.#called(peer_id));
    channel.on("offer", (payload) => this.#offered(payload));
    channel.on("answer", (payload) => this.#connections.of(payload)?.take("answer", payload));
    channel.on("candidate", (payload) => this.#candidate(payload));
    channel.on("busy", ({ peer_id }) => {
      this.#calls.get(peer_id)?.reject(new PeerError("busy", `${peer_id} has too many connections`));
    });
    channel.on("peer_up", ({ peer_id }) => this.emit("up", peer_id));
    channel.on("peer_down", ({ peer_id }) => this.#wentDown(peer_id));
  }

  /** @param {{ice_servers?: RTCIceServer[]}} reply */
  #joined({ ice_servers }) {
    this.#iceServers = ice_servers ?? [];
    this.#unlistenNetwork();
    this.#unlistenNetwork = onNetworkChange(this.#network, () => {
      for (const connection of this.#connections.all()) connection.networkChanged();
    });
    for (const connection of this.#connections.all()) connection.resume();
    // The server forgot what this side watched, and there may be news meanwhile.
    for (const peerId of this.#watched) {
      this.#askPresence(peerId).then(
        (online) => (online ? this.emit("up", peerId) : this.#wentDown(peerId)),
        () => {}, // the connection is gone again; the next join asks anew
      );
    }
  }

  /** @param {string} peerId */
  #wentDown(peerId) {
    // It may have lost only the broker; a connection that still works is kept.
    void this.#connections.open(peerId)?.probe();
    this.emit("down", peerId);
  }

  /**
   * Somebody wants to talk to us: this side makes the offer.
   *
   * @param {string} peerId
   */
  #called(peerId) {
    const call = this.#calls.get(peerId);
    // Both called; the other side's offer is being answered already, and serves both.
    if (call?.isAnswering) return;
    if (this.#connections.others(peerId) >= this.#maxConnections) {
      this.#channel.push("busy", { peer_id: peerId }).catch(() => {}); // who left needs no answer
      return;
    }
    const connection = this.#make(peerId, toBase64url(randomBytes(9)), true);
    // As it is when the offer leaves: this side may call until then.
    connection.offer(() => ({ calling: this.#calls.has(peerId) }));
  }

  /** @param {any} payload */
  #offered(payload) {
    const { peer_id, attempt } = payload;
    const current = this.#connections.of(payload);
    if (current) return current.take("offer", payload);
    const call = this.#calls.get(peer_id);
    // Only who was called may make us answer, and so reveal our addresses.
    if (!call || call.knows(attempt) || this.#isStronger(payload)) return;
    const connection = this.#make(peer_id, attempt, false);
    const early = call.adopt(connection);
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
    return calling === true && this.#connections.attempt(peer_id)?.offers === true && this.id > peer_id;
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
   */
  #make(peerId, attempt, offers) {
    const connection = new Connection({
      peerId,
      attempt,
      offers,
      pc: this.#createConnection({ iceServers: this.#iceServers }),
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

  /** @param {Connection} connection given to whoever asked for it, once */
  #opened(connection) {
    this.#connections.opened(connection);
    const call = this.#calls.get(connection.peerId);
    if (call) call.resolve(connection);
    else this.emit("connection", connection);
  }

  /**
   * @param {Connection} connection
   * @param {PeerError} error
   */
  #closed(connection, error) {
    // A newer attempt may have replaced this one, and then answers for the call.
    if (this.#connections.closed(connection)) this.#calls.get(connection.peerId)?.reject(error);
  }
}

/** @param {Error} error */
function asPeerError(error) {
  const reason = error instanceof HandclaspError ? error.reason : "failed";
  return new PeerError(reason === "peer_not_found" ? "absent" : reason, error.message, { cause: error });
}
