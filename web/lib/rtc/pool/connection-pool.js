/**
 * Connections by peer id, made when asked for and kept for the next time, as tsujio's
 * webrtc-connectionpool did for PeerJS, with its names. How a connection is made is
 * peer.js's business; its messages and its end are pooled.js's.
 *
 *     const pool = new ConnectionPool({ peer: new Peer(socket, identity) });
 *     pool.onconnection = (connection) => (connection.ondata = (data) => console.log(data));
 *     const connection = await pool.create(otherId);
 *     await connection.send({ hello: "world" });
 */

import { onAbort, unlessAborted } from "../../util/abort.js";
import { systemClock } from "../../util/clock.js";
import { AbortedError, PeerError } from "../../util/errors.js";
import { isPeerId } from "../identity.js";
import { PooledConnection } from "./pooled-connection.js";

/**
 * @typedef {object} PoolOptions
 * @property {Pick<import("../peer.js").Peer, "id" | "join" | "connect" | "on">} peer joined by
 *   the pool; its incoming connections are the pool's. Closing it is its owner's, after `destroy()`
 * @property {number} [connectionPoolSize] connections kept; beyond it the least recently
 *   used is destroyed (default 10)
 * @property {number} [connectionCloseDelay] ms that the end of a connection may take (default 30 000)
 * @property {number} [silentConnectionCloseTimeout] ms without data either way after which a
 *   connection is destroyed (default 180 000)
 * @property {number} [connectionOpenTimeout] ms for a connection to open (default 30 000)
 * @property {number} [maxMessageSize] bytes (default 16 MiB)
 * @property {boolean} [debug] says on the console what becomes of each connection, never what it carries
 * @property {import("../../util/clock.js").Clock} [clock]
 */

/** @typedef {(connection: PooledConnection | null, error?: Error) => void} CreateCallback */

/** Life: made, `onopen`, `create` and `onconnection` as often as wanted, `destroy`. */
export class ConnectionPool {
  /** Of this interface, as the original tells its own. */
  version = "1.0.0";
  /** @type {((peerId: string) => void) | null} the peer has joined */
  onopen = null;
  /** @type {((error: Error) => void) | null} the peer cannot join */
  onerror = null;
  /** @type {((connection: PooledConnection) => void) | null} another peer has opened one */
  onconnection = null;
  #peer;
  #debug;
  #size;
  #openTimeout;
  #pooledOptions;
  /** @type {Map<string, PooledConnection>} by remote id, least recently used first */
  #pooled = new Map();
  /** @type {Set<PooledConnection>} pooled or on their way to being closed */
  #live = new Set();
  /** Creations happen one after the other. */
  #queue = /** @type {Promise<any>} */ (Promise.resolve());
  #end = new AbortController();
  #unlisten;

  /** @param {PoolOptions} options */
  constructor({ peer, ...options }) {
    this.#peer = peer;
    this.#debug = options.debug ?? false;
    this.#size = options.connectionPoolSize ?? 10;
    this.#openTimeout = options.connectionOpenTimeout ?? 30_000;
    this.#pooledOptions = {
      clock: options.clock ?? systemClock,
      connectionCloseDelay: options.connectionCloseDelay ?? 30_000,
      silentConnectionCloseTimeout: options.silentConnectionCloseTimeout ?? 180_000,
      maxMessageSize: options.maxMessageSize ?? 16 * 1024 * 1024,
    };
    this.#unlisten = peer.on("connection", (connection) => void this.#incoming(connection));
    peer.join({ signal: this.#end.signal }).then(
      () => {
        this.#say("joined as", peer.id);
        this.onopen?.(peer.id);
      },
      (error) => {
        this.#say("cannot join:", error.message);
        if (!this.#end.signal.aborted) this.onerror?.(error);
      },
    );
  }

  /** @returns {string} this side's id */
  getPeerId() {
    return this.#peer.id;
  }

  /**
   * Gives the connection to a peer: the pooled one if there is one, else a new one, which
   * is made when all earlier creations are done.
   *
   * @param {string} remoteId
   * @param {CreateCallback | {signal?: AbortSignal}} [options] a callback, or options
   * @returns {Promise<PooledConnection>}
   * @throws {PeerError | AbortedError}
   */
  create(remoteId, options = {}) {
    const callback = typeof options === "function" ? options : null;
    const created = this.#create(remoteId, callback ? undefined : /** @type {{signal?: AbortSignal}} */ (options).signal);
    // A callback that throws must be heard of, and is not the creation's failure.
    if (callback) created.then((connection) => callback(connection), (error) => callback(null, error));
    return created;
  }

  /**
   * Keeps a connection as its peer's only one and as the most recently used.
   *
   * @param {PooledConnection} connection
   */
  addConnection(connection) {
    const id = connection.getRemotePeerId();
    const replaced = this.#pooled.get(id);
    this.#pooled.delete(id);
    this.#pooled.set(id, connection);
    if (replaced !== connection) void replaced?.destroy();
    for (const [oldest] of this.#pooled) {
      if (this.#pooled.size <= this.#size) break;
      this.#say("full: the least recently used goes,", oldest);
      void this.removeConnection(oldest);
    }
  }

  /**
   * Takes a peer's connection out of the pool and destroys it.
   *
   * @param {string} remoteId
   * @returns {Promise<void>} when it is closed
   */
  async removeConnection(remoteId) {
    const connection = this.#pooled.get(remoteId);
    this.#pooled.delete(remoteId);
    await connection?.destroy();
  }

  /**
   * Gives up what is being created and destroys every connection.
   *
   * @returns {Promise<void>} when all are closed; the peer may be closed then
   */
  async destroy() {
    this.#end.abort();
    this.#unlisten();
    await Promise.all(Array.from(this.#live, (connection) => connection.destroy()));
    this.#pooled.clear();
  }

  /**
   * @param {string} remoteId
   * @param {AbortSignal} [signal]
   * @returns {Promise<PooledConnection>}
   */
  #create(remoteId, signal) {
    if (!isPeerId(remoteId) || remoteId === this.#peer.id) {
      return Promise.reject(new PeerError("invalid", "Invalid peer id."));
    }
    const either = new AbortController();
    const unlisten = [signal, this.#end.signal].map((given) => onAbort(given, () => either.abort()));
    return new Promise((resolve, reject) => {
      // Whoever gives up does not wait for its turn to be told so.
      onAbort(either.signal, () => reject(new AbortedError(`connection to ${remoteId}`)));
      const turn = this.#queue.then(() => this.#get(remoteId, either.signal));
      this.#queue = turn.then(resolve, reject).finally(() => unlisten.forEach((stop) => stop()));
    });
  }

  /**
   * @param {string} remoteId
   * @param {AbortSignal} signal
   * @returns {Promise<PooledConnection>}
   */
  async #get(remoteId, signal) {
    if (signal.aborted) throw new AbortedError(`connection to ${remoteId}`);
    const known = this.#pooled.get(remoteId);
    if (known?.isAvailable()) {
      this.addConnection(known);
      return known;
    }
    // Opening a new one would cut off what is still arriving over the old one.
    const old = Array.from(this.#live).filter((connection) => connection.getRemotePeerId() === remoteId);
    await unlessAborted(Promise.all(old.map((connection) => connection.destroy())), signal, `connection to ${remoteId}`);
    this.#say("connecting to", remoteId);
    await this.#peer.join({ signal });
    return this.#keep(await this.#peer.connect(remoteId, { signal, timeout: this.#openTimeout }));
  }

  /** @param {import("../connection.js").Connection} connection of another peer's making */
  async #incoming(connection) {
    const pooled = await this.#keep(connection);
    this.onconnection?.(pooled);
  }

  /**
   * @param {import("../connection.js").Connection} connection open
   * @returns {Promise<PooledConnection>} in the pool
   */
  async #keep(connection) {
    const link = await connection.opened;
    const pooled = new PooledConnection({
      ...this.#pooledOptions,
      connection,
      link,
      used: () => this.#pooled.get(connection.peerId) === pooled && this.addConnection(pooled),
    });
    this.#live.add(pooled);
    this.#say("open:", connection.peerId);
    void pooled.closed.then(() => {
      this.#say("closed:", connection.peerId);
      this.#live.delete(pooled);
      if (this.#pooled.get(connection.peerId) === pooled) this.#pooled.delete(connection.peerId);
    });
    this.addConnection(pooled);
    if (this.#end.signal.aborted) void this.removeConnection(connection.peerId);
    return pooled;
  }

  /** @param {string[]} words */
  #say(...words) {
    if (this.#debug) console.log("handclasp pool:", ...words);
  }
}
