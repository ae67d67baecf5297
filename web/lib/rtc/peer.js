/**
 * A browser's place at the broker: it joins `peer:<id>`, calls other peers, is called by
 * them, and follows who is there. How two come to a connection is handshakes.js's; staying
 * joined is channel.js's.
 *
 *     const peer = new Peer(new Socket("/socket"), await createIdentity());
 *     peer.on("connection", async (connection) => (await connection.opened).send({ type: "hi" }));
 *     await peer.join();
 *     const connection = await peer.connect(otherId);
 */

import { Emitter } from "../util/emitter.js";
import { TimeoutError } from "../util/errors.js";
import { Handshakes } from "./signaling.js";
import { onNetworkChange } from "../util/network-change.js";
import { Watches } from "./watch-list.js";

/** @typedef {import("./connection.js").Connection} Connection */

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
 *   state: [import("../channels/channel.js").ChannelState, any]}>}
 */
export class Peer extends Emitter {
  #channel;
  #network;
  #handshakes;
  #watches;
  #unlistenNetwork = () => {};

  /**
   * @param {import("../channels/socket.js").Socket} socket
   * @param {import("./identity.js").Identity} identity
   * @param {PeerOptions} [options]
   */
  constructor(socket, identity, options = {}) {
    super();
    this.id = identity.peerId;
    this.#network = socket.network;
    this.#channel = socket.channel(`peer:${this.id}`, { secret: identity.secret });
    this.#handshakes = new Handshakes({
      id: this.id,
      channel: this.#channel,
      clock: socket.clock,
      createConnection: options.createConnection ?? ((config) => new RTCPeerConnection(config)),
      timeout: options.timeout ?? 30_000,
      recoveryTimeout: options.recoveryTimeout ?? 15_000,
      maxConnections: options.maxConnections ?? 64,
      incoming: (connection) => this.emit("connection", connection),
    });
    this.#watches = new Watches(this.#channel, {
      up: (peerId) => (this.#handshakes.wentUp(peerId), this.emit("up", peerId)),
      down: (peerId) => (this.#handshakes.wentDown(peerId), this.emit("down", peerId)),
    });
    this.#channel.onState((state, detail) => {
      if (state === "joined") this.#joined(detail);
      if (state === "closed") this.#left(detail);
      this.emit("state", state, detail);
    });
  }

  /**
   * @param {object} [options]
   * @param {number} [options.timeout] ms (default: the socket's)
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<{peer_id: string, ice_servers: RTCIceServer[]}>}
   * @throws {import("../util/errors.js").RefusedError | import("../util/errors.js").TimeoutError | import("../util/errors.js").AbortedError}
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
   * @throws {import("../util/errors.js").PeerError} with `no_path`, its `path` and message say what ICE found
   */
  connect(peerId, options = {}) {
    return this.#handshakes.call(peerId, options);
  }

  /**
   * Follows a peer's presence with the events `up` and `down`, from now on and over
   * reconnects, until `unwatch`.
   *
   * @param {string} peerId
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] ends the watch, whenever it is given
   * @returns {Promise<boolean>} whether it is there now
   * @throws {import("../util/errors.js").HandclaspError}
   */
  watch(peerId, { signal } = {}) {
    return this.#watches.add(peerId, signal);
  }

  /**
   * @param {string} peerId not to be followed any longer
   * @returns {Promise<void>}
   */
  unwatch(peerId) {
    return this.#watches.remove(peerId);
  }

  /** Leaves the topic and closes every connection. */
  close() {
    this.#unlistenNetwork();
    this.#handshakes.close();
    void this.#channel.leave();
  }

  /** @param {Error} error why: another page has this id now, for example */
  #left(error) {
    this.#unlistenNetwork();
    this.#handshakes.endCalls(error.message);
  }

  /** @param {{ice_servers?: RTCIceServer[]}} reply */
  #joined({ ice_servers }) {
    this.#handshakes.iceServers = ice_servers ?? [];
    this.#unlistenNetwork();
    this.#unlistenNetwork = onNetworkChange(this.#network, () => this.#handshakes.networkChanged());
    this.#handshakes.resume();
    this.#watches.again();
  }
}

/**
 * Joins, however long the server does not answer: one that is down now may be up in a minute.
 *
 * @param {Peer} peer
 */
export async function joinPatiently(peer) {
  for (;;) {
    try {
      await peer.join();
      return;
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
    }
  }
}
