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

import { randomBytes, toBase64url } from "./bytes.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { HandclaspError, PeerError } from "./errors.js";

/** How many candidates of an offer that is still on its way are kept. */
const EARLY_LIMIT = 64;

/**
 * @typedef {object} PeerOptions
 * @property {(config: RTCConfiguration) => RTCPeerConnection} [createConnection]
 * @property {number} [timeout] ms from calling to an open channel (default 30 000)
 * @property {number} [maxConnections] incoming ones beyond it are told `busy` (default 64)
 */

/**
 * @typedef {object} Call one `connect()` under way
 * @property {string[]} attempts whose offers were seen
 * @property {Array<{attempt: string, payload: any}>} early candidates without an offer
 * @property {(connection: Connection) => void} resolve
 * @property {(error: Error) => void} reject
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
  #createConnection;
  #timeout;
  #maxConnections;
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  /** @type {Map<string, Connection>} by peer id */
  #connections = new Map();
  /** @type {Map<string, Call>} by peer id */
  #calls = new Map();
  /** @type {Set<string>} */
  #watched = new Set();

  /**
   * @param {import("./socket.js").Socket} socket
   * @param {import("./identity.js").Identity} identity
   * @param {PeerOptions} [options]
   */
  constructor(socket, identity, options = {}) {
    super();
    this.id = identity.peerId;
    this.#clock = socket.clock;
    this.#createConnection = options.createConnection ?? ((config) => new RTCPeerConnection(config));
    this.#timeout = options.timeout ?? 30_000;
    this.#maxConnections = options.maxConnections ?? 64;
    this.#channel = socket.channel(`peer:${this.id}`, { secret: identity.secret });
    this.#listen();
  }

  /**
   * @param {object} [options]
   * @param {number} [options.timeout] ms (default: the socket's)
   * @returns {Promise<{peer_id: string, ice_servers: RTCIceServer[]}>}
   * @throws {import("./errors.js").RefusedError | import("./errors.js").TimeoutError}
   */
  join(options) {
    return this.#channel.join(options);
  }

  /**
   * Asks a peer for a connection; the peer makes the offer. A second call to the same
   * peer gives up the first.
   *
   * @param {string} peerId
   * @param {object} [options]
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<Connection>} open
   * @throws {PeerError}
   */
  connect(peerId, { signal } = {}) {
    this.#calls.get(peerId)?.reject(new PeerError("aborted", `another call to ${peerId} was made`));
    return new Promise((resolve, reject) => {
      /** @param {Error} error */
      const fail = (error) => {
        settle();
        this.#connections.get(peerId)?.close();
        reject(error);
      };
      /** @type {Call} */
      const call = { attempts: [], early: [], reject: fail, resolve: (connection) => (settle(), resolve(connection)) };
      const abort = () => fail(new PeerError("aborted", `call to ${peerId} was given up`));
      const timer = this.#clock.setTimeout(() => fail(silent(peerId, call)), this.#timeout);
      const settle = () => {
        this.#clock.clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        if (this.#calls.get(peerId) === call) this.#calls.delete(peerId);
      };
      this.#calls.set(peerId, call);
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort);
      this.#channel.push("connect", { peer_id: peerId }).catch((error) => fail(asPeerError(error)));
    });
  }

  /**
   * Follows a peer's presence with the events `up` and `down`, from now on and over
   * reconnects.
   *
   * @param {string} peerId
   * @returns {Promise<boolean>} whether it is there now
   */
  async watch(peerId) {
    this.#watched.add(peerId);
    const { online } = await this.#channel.push("watch", { peer_id: peerId });
    return online;
  }

  /** Leaves the topic and closes every connection. */
  close() {
    for (const call of [...this.#calls.values()]) call.reject(new PeerError("closed", "peer was closed"));
    for (const connection of [...this.#connections.values()]) connection.close();
    this.#channel.leave();
  }

  #listen() {
    const channel = this.#channel;
    channel.onState((state, detail) => {
      if (state === "joined") this.#joined(detail);
      this.emit("state", state, detail);
    });
    channel.on("peer_connect", ({ peer_id }) => this.#called(peer_id));
    channel.on("offer", (payload) => this.#offered(payload));
    channel.on("answer", (payload) => this.#current(payload)?.take("answer", payload));
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
    // The server forgot what this side watched, and there may be news meanwhile.
    for (const peerId of this.#watched) {
      this.watch(peerId).then(
        (online) => (online ? this.emit("up", peerId) : this.#wentDown(peerId)),
        () => {}, // the connection is gone again; the next join asks anew
      );
    }
  }

  /** @param {string} peerId */
  #wentDown(peerId) {
    // It may have lost only the broker; a connection that still works is kept.
    void this.#connections.get(peerId)?.probe();
    this.emit("down", peerId);
  }

  /**
   * Somebody wants to talk to us: this side makes the offer.
   *
   * @param {string} peerId
   */
  #called(peerId) {
    const others = this.#connections.size - (this.#connections.has(peerId) ? 1 : 0);
    if (others >= this.#maxConnections) {
      this.#channel.push("busy", { peer_id: peerId }).catch(() => {}); // who left needs no answer
      return;
    }
    const connection = this.#make(peerId, toBase64url(randomBytes(9)));
    connection.opened.then(
      () => this.emit("connection", connection),
      () => {}, // it never opened: nobody was told of it
    );
    connection.offer();
  }

  /** @param {any} payload */
  #offered(payload) {
    const { peer_id, attempt } = payload;
    const call = this.#calls.get(peer_id);
    // Only who was called may make us answer, and so reveal our addresses.
    if (!call || call.attempts.includes(attempt)) return;
    call.attempts.push(attempt);
    const connection = this.#make(peer_id, attempt);
    connection.opened.then(
      () => call.resolve(connection),
      (error) => {
        // A newer offer of the same call may have replaced this one.
        if (this.#calls.get(peer_id) === call && call.attempts.at(-1) === attempt) call.reject(error);
      },
    );
    connection.take("offer", payload);
    for (const early of call.early) {
      if (early.attempt === attempt) connection.take("candidate", early.payload);
    }
  }

  /** @param {any} payload */
  #candidate(payload) {
    const connection = this.#current(payload);
    const early = this.#calls.get(payload.peer_id)?.early;
    if (connection) connection.take("candidate", payload);
    else if (early && early.length < EARLY_LIMIT) early.push({ attempt: payload.attempt, payload });
  }

  /**
   * @param {{peer_id: string, attempt: string}} signal
   * @returns {Connection | undefined} the one it is meant for; none if it is about an older attempt
   */
  #current({ peer_id, attempt }) {
    const connection = this.#connections.get(peer_id);
    return connection?.attempt === attempt ? connection : undefined;
  }

  /**
   * @param {string} peerId
   * @param {string} attempt
   */
  #make(peerId, attempt) {
    const replaced = this.#connections.get(peerId);
    const connection = new Connection({
      peerId,
      attempt,
      pc: this.#createConnection({ iceServers: this.#iceServers }),
      signal: (event, body) => this.#channel.push(event, body),
      clock: this.#clock,
      timeout: this.#timeout,
    });
    this.#connections.set(peerId, connection);
    connection.on("close", () => {
      if (this.#connections.get(peerId) === connection) this.#connections.delete(peerId);
    });
    replaced?.close(new PeerError("closed", `a newer attempt of ${peerId} took over`));
    return connection;
  }
}

/**
 * @param {string} peerId
 * @param {Call} call
 */
function silent(peerId, call) {
  if (call.attempts.length > 0) return new PeerError("no_path", `no direct path to ${peerId}`);
  return new PeerError("silent", `${peerId} did not answer the call`);
}

/** @param {Error} error */
function asPeerError(error) {
  const reason = error instanceof HandclaspError ? error.reason : "failed";
  return new PeerError(reason === "peer_not_found" ? "absent" : reason, error.message, { cause: error });
}
