/**
 * A pool of connections by peer id, with the API of tsujio's webrtc-connectionpool for PeerJS.
 * pooled-connection.js has the messages and the closing of one connection.
 *
 *     const pool = new ConnectionPool({ peer: new Peer(socket, identity) });
 *     pool.onconnection = (connection) => (connection.ondata = (data) => console.log(data));
 *     const connection = await pool.create(otherId);
 *     await connection.send({ hello: "world" });
 */

import { abortable, onAbort } from "../../util/abort.js";
import { systemClock } from "../../util/clock.js";
import { callListener } from "../../util/emitter.js";
import { AbortedError, TimeoutError } from "../../util/errors.js";
import { PeerError } from "../errors.js";
import { isName, peerIdOf } from "../identity.js";
import { PooledConnection } from "./pooled-connection.js";

/**
 * @typedef {object} PoolOptions
 * @property {Pick<import("../peer.js").Peer, "id" | "name" | "join" | "connect" | "on">} peer joined by the pool,
 *   which uses all its incoming connections; you close it after `destroy()`
 * @property {number} [connectionPoolSize] maximum of pooled connections; beyond it the least recently
 *   used one is destroyed (default 10)
 * @property {number} [connectionCloseDelay] ms that closing a connection may take (default 30 000)
 * @property {number} [silentConnectionCloseTimeout] ms after which a connection that was never used, in
 *   either direction, is destroyed (default 180 000)
 * @property {number} [connectionOpenTimeout] ms for a connection to open (default 30 000)
 * @property {number} [maxMessageSize] bytes (default 16 MiB)
 * @property {boolean} [debug] logs the life of each connection on the console, without its data
 * @property {import("../../util/clock.js").Clock} [clock]
 */

/** @typedef {(connection: PooledConnection | null, error?: Error) => void} CreateCallback */

export class ConnectionPool {
  /** Of this interface, as in the original. */
  version = "1.0.0";
  /** @type {((peerId: string) => void) | null} called when the peer has joined */
  onopen = null;
  /** @type {((error: Error) => void) | null} called when the peer cannot join; after a timeout the pool tries again */
  onerror = null;
  /** @type {((connection: PooledConnection) => void) | null} called for each incoming connection */
  onconnection = null;
  #peer;
  #debug;
  #size;
  #openTimeout;
  #connectionOptions;
  /** @type {Map<string, PooledConnection>} by UUID, least recently used first */
  #pooled = new Map();
  /** @type {Map<PooledConnection, string>} the UUIDs of those that are pooled or closing */
  #live = new Map();
  /** Connections are created one after the other. */
  #queue = /** @type {Promise<any>} */ (Promise.resolve());
  #destroyed = new AbortController();
  #removeListener;

  /** @param {PoolOptions} options */
  constructor({ peer, ...options }) {
    this.#peer = peer;
    this.#debug = options.debug ?? false;
    this.#size = options.connectionPoolSize ?? 10;
    this.#openTimeout = options.connectionOpenTimeout ?? 30_000;
    this.#connectionOptions = {
      clock: options.clock ?? systemClock,
      connectionCloseDelay: options.connectionCloseDelay ?? 30_000,
      silentConnectionCloseTimeout: options.silentConnectionCloseTimeout ?? 180_000,
      maxMessageSize: options.maxMessageSize ?? 16 * 1024 * 1024,
    };
    this.#removeListener = peer.on("connection", (connection) => void this.#handleIncoming(connection));
    void this.#join();
  }

  /** @returns {string} this side's name, or its UUID without one */
  getPeerId() {
    return this.#peer.name ?? this.#peer.id;
  }

  /**
   * Returns the pooled connection to a peer, or creates one. Connections are created in request order.
   *
   * @param {string} remoteId a UUID, or the other side's name
   * @param {CreateCallback | {signal?: AbortSignal}} [options] a callback, or options
   * @returns {Promise<PooledConnection>}
   * @throws {PeerError | AbortedError}
   */
  create(remoteId, options = {}) {
    const callback = typeof options === "function" ? options : null;
    const created = this.#enqueue(remoteId, callback ? undefined : /** @type {{signal?: AbortSignal}} */ (options).signal);
    // An error of the callback itself is reported as an unhandled rejection, not passed to the callback.
    if (callback) created.then((connection) => callback(connection), (error) => callback(null, error));
    return created;
  }

  /**
   * Makes a connection the only one of its peer and the most recently used one.
   *
   * @param {PooledConnection} connection of this pool
   */
  addConnection(connection) {
    const id = this.#live.get(connection);
    if (id === undefined) return; // closed meanwhile
    const replaced = this.#pooled.get(id);
    this.#pooled.delete(id);
    this.#pooled.set(id, connection);
    if (replaced !== connection) void replaced?.destroy();
    for (const [oldest] of this.#pooled) {
      if (this.#pooled.size <= this.#size) break;
      this.#log("pool is full, removing the least recently used:", oldest);
      void this.removeConnection(oldest);
    }
  }

  /**
   * Removes a peer's connection from the pool and destroys it.
   *
   * @param {string} remoteId a UUID, or the other side's name
   * @returns {Promise<void>} resolves when it is closed
   */
  async removeConnection(remoteId) {
    const uuid = isName(remoteId) ? peerIdOf(remoteId) : "";
    const connection = this.#pooled.get(uuid);
    this.#pooled.delete(uuid);
    await connection?.destroy();
  }

  /**
   * Aborts pending creations and destroys all connections.
   *
   * @returns {Promise<void>} resolves when all are closed; you may close the peer then
   */
  async destroy() {
    this.#destroyed.abort();
    this.#removeListener();
    await Promise.all(Array.from(this.#live.keys(), (connection) => connection.destroy()));
    this.#pooled.clear();
  }

  async #join() {
    const { signal } = this.#destroyed;
    for (;;) {
      const error = await this.#peer.join({ signal }).then(() => null, (error) => error);
      if (signal.aborted) return;
      if (!error) break;
      this.#log("cannot join:", error.message);
      if (this.onerror) callListener(this.onerror, error);
      if (!(error instanceof TimeoutError)) return;
    }
    this.#log("joined as", this.getPeerId());
    this.onopen?.(this.getPeerId());
  }

  /**
   * @param {string} remoteId
   * @returns {string | null} the UUID; null when it is invalid, or this side's own
   */
  #uuidOf(remoteId) {
    if (!isName(remoteId)) return null;
    const uuid = peerIdOf(remoteId);
    return uuid === this.#peer.id ? null : uuid;
  }

  /**
   * @param {string} remoteId
   * @param {AbortSignal} [signal]
   * @returns {Promise<PooledConnection>}
   */
  #enqueue(remoteId, signal) {
    const uuid = this.#uuidOf(remoteId);
    if (!uuid) return Promise.reject(new PeerError("invalid", "Invalid peer id."));
    const either = new AbortController();
    const removeListeners = [signal, this.#destroyed.signal].map((given) => onAbort(given, () => either.abort()));
    return new Promise((resolve, reject) => {
      // Rejects at once, not only when its turn in the queue has come.
      onAbort(either.signal, () => reject(new AbortedError(`connection to ${remoteId}`)));
      const turn = this.#queue.then(() => this.#get(uuid, remoteId, either.signal));
      this.#queue = turn.then(resolve, reject).finally(() => removeListeners.forEach((remove) => remove()));
    });
  }

  /**
   * @param {string} uuid
   * @param {string} remoteId as the caller named it
   * @param {AbortSignal} signal
   * @returns {Promise<PooledConnection>}
   */
  async #get(uuid, remoteId, signal) {
    if (signal.aborted) throw new AbortedError(`connection to ${remoteId}`);
    const pooled = this.#pooled.get(uuid);
    if (pooled?.isAvailable()) {
      this.addConnection(pooled);
      return pooled;
    }
    // A new connection would replace one that is closing and still delivers messages.
    const closing = Array.from(this.#live).filter(([, id]) => id === uuid);
    await abortable(Promise.all(closing.map(([connection]) => connection.destroy())), signal, `connection to ${remoteId}`);
    this.#log("connecting to", remoteId);
    await this.#peer.join({ signal });
    return this.#add(await this.#peer.connect(uuid, { signal, timeout: this.#openTimeout }));
  }

  /** @param {import("../connection.js").Connection} connection */
  async #handleIncoming(connection) {
    const pooled = await this.#add(connection);
    this.onconnection?.(pooled);
  }

  /**
   * @param {import("../connection.js").Connection} connection open
   * @returns {Promise<PooledConnection>} added to the pool
   */
  async #add(connection) {
    const channel = await connection.opened;
    const pooled = new PooledConnection({
      ...this.#connectionOptions,
      connection,
      channel,
      onUse: () => this.#pooled.get(connection.peerId) === pooled && this.addConnection(pooled),
    });
    this.#live.set(pooled, connection.peerId);
    this.#log("open:", pooled.getRemotePeerId());
    void pooled.closed.then(() => {
      this.#log("closed:", pooled.getRemotePeerId());
      this.#live.delete(pooled);
      if (this.#pooled.get(connection.peerId) === pooled) this.#pooled.delete(connection.peerId);
    });
    this.addConnection(pooled);
    if (this.#destroyed.signal.aborted) void this.removeConnection(connection.peerId);
    return pooled;
  }

  /** @param {string[]} text */
  #log(...text) {
    if (this.#debug) console.log("handclasp pool:", ...text);
  }
}
