/**
 * A peer at the broker: it joins `peer:<id>`, calls other peers, receives their calls, and watches
 * whether they are online. signaling.js has the handshakes.
 *
 *     const peer = new Peer(new Socket("/socket"), await createIdentity());
 *     peer.on("connection", async (connection) => (await connection.opened).send({ type: "hi" }));
 *     await peer.join();
 *     const connection = await peer.connect(otherId);
 */

import { RefusedError } from "../channels/errors.js";
import { Backoff } from "../util/backoff.js";
import { systemClock } from "../util/clock.js";
import { Emitter } from "../util/emitter.js";
import { TimeoutError } from "../util/errors.js";
import { onNetworkChange } from "../util/network-change.js";
import { onPageReturn } from "../util/page-return.js";
import { isTemporary } from "../util/temporary.js";
import { Signaling } from "./signaling.js";
import { WatchList } from "./watch-list.js";

/** How often a join is tried again that a busy server has refused, and the longest first delay (ms). */
const BUSY_RETRIES = 5;
const BUSY_DELAY = 500;

/** @typedef {import("./connection.js").Connection} Connection */

/**
 * @typedef {object} PeerOptions
 * @property {(config: RTCConfiguration) => RTCPeerConnection} [createConnection]
 * @property {number} [timeout] ms from a call to an open connection (default 30 000)
 * @property {number} [recoveryTimeout] ms that an interrupted connection may take to recover (default 15 000)
 * @property {number} [maxConnections] further incoming calls are answered with `busy` (default 64)
 */

/**
 * What the broker says when the peer has joined.
 *
 * @typedef {object} Welcome
 * @property {string} peerId
 * @property {RTCIceServer[]} iceServers the broker's STUN and TURN servers
 * @property {number | null} maxMessageBytes larger signals are refused as `too_big`; null: the server does not tell
 */

/**
 * Events: `connection` for each incoming connection, once it is open; `up` and `down` with the id of a
 * watched peer; `state` with the state and detail of the peer's channel; the detail of `joined` is a `Welcome`.
 *
 * @extends {Emitter<{connection: [Connection], up: [string], down: [string],
 *   state: [import("../channels/channel.js").ChannelState, any]}>}
 */
export class Peer extends Emitter {
  #channel;
  #socket;
  #signaling;
  #watchList;
  #isClosed = false;
  #stopNetworkListener = () => {};
  #stopPageListener = /** @type {(() => void) | null} */ (null);

  /**
   * @param {import("../channels/socket.js").Socket} socket
   * @param {import("./identity.js").Identity} identity
   * @param {PeerOptions} [options]
   */
  constructor(socket, identity, options = {}) {
    super();
    this.id = identity.peerId;
    /** @type {string | null} */
    this.name = identity.name ?? null;
    this.#socket = socket;
    this.#channel = socket.channel(`peer:${this.id}`, { secret: identity.secret });
    this.#signaling = new Signaling({
      id: this.id,
      name: this.name,
      channel: this.#channel,
      clock: socket.clock,
      createConnection: options.createConnection ?? ((config) => new RTCPeerConnection(config)),
      timeout: options.timeout ?? 30_000,
      recoveryTimeout: options.recoveryTimeout ?? 15_000,
      maxConnections: options.maxConnections ?? 64,
      onConnection: (connection) => this.emit("connection", connection),
    });
    this.#watchList = new WatchList(this.#channel, {
      onUp: (peerId) => (this.#signaling.peerUp(peerId), this.emit("up", peerId)),
      onDown: (peerId) => (this.#signaling.peerDown(peerId), this.emit("down", peerId)),
      clock: socket.clock,
    });
    this.#channel.onState((state, detail) => {
      const shown = state === "joined" ? welcomeOf(detail) : detail;
      if (state === "joined") this.#joined(shown);
      if (state === "closed") this.#closed(detail);
      this.emit("state", state, shown);
    });
  }

  /**
   * @param {object} [options]
   * @param {number} [options.timeout] ms (default: the socket's)
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<Welcome>}
   * @throws {import("../channels/errors.js").RefusedError | TimeoutError | import("../util/errors.js").AbortedError}
   */
  async join(options) {
    return welcomeOf(await this.#channel.join(options));
  }

  /** @returns {RTCIceServer[]} those that the broker sent at the last join */
  get iceServers() {
    return this.#signaling.iceServers;
  }

  /**
   * Calls a peer, which makes the offer. A second call to the same peer aborts the first one. Two peers
   * that call each other at the same moment get the same connection.
   *
   * @param {string} peerId
   * @param {object} [options]
   * @param {AbortSignal} [options.signal]
   * @param {number} [options.timeout] ms (default: the peer's)
   * @returns {Promise<Connection>} open
   * @throws {import("./errors.js").PeerError} with `no_path`, its `iceReport` and message tell what ICE found
   */
  connect(peerId, options = {}) {
    return this.#signaling.call(peerId, options);
  }

  /**
   * Watches a peer with the events `up` and `down`, across reconnects, until `unwatch`.
   *
   * @param {string} peerId
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] ends the watch
   * @returns {Promise<boolean>} whether the peer is online now
   * @throws {import("../util/errors.js").HandclaspError}
   */
  watch(peerId, { signal } = {}) {
    return this.#watchList.add(peerId, signal);
  }

  /**
   * @param {string} peerId
   * @returns {Promise<void>}
   */
  unwatch(peerId) {
    return this.#watchList.remove(peerId);
  }

  /** @returns {boolean} whether `close` was called */
  get isClosed() {
    return this.#isClosed;
  }

  /** Leaves the topic and closes all connections. */
  close() {
    this.#isClosed = true;
    this.#stopNetworkListener();
    this.#stopPageListener?.();
    this.#signaling.close();
    void this.#channel.leave();
  }

  /** @param {Error} error for example: another page has joined with this id */
  #closed(error) {
    this.#stopNetworkListener();
    this.#signaling.rejectCalls(error);
  }

  /** @param {Welcome} welcome */
  #joined({ iceServers, maxMessageBytes }) {
    if (maxMessageBytes !== null) this.#socket.limitMessages(maxMessageBytes);
    this.#signaling.iceServers = iceServers;
    this.#stopNetworkListener();
    this.#stopNetworkListener = onNetworkChange(this.#socket.network, () => this.#signaling.networkChanged());
    // Not ended with the channel: the connections go on without it.
    this.#stopPageListener ??= onPageReturn(this.#socket.network, () => this.#signaling.probe());
    this.#signaling.resume();
    this.#watchList.renew();
  }
}

/**
 * @param {any} reply to the join, as the server writes it
 * @returns {Welcome}
 */
function welcomeOf(reply) {
  const { peer_id, ice_servers, max_message_bytes } = reply ?? {};
  return { peerId: peer_id, iceServers: ice_servers ?? [], maxMessageBytes: max_message_bytes ?? null };
}

/**
 * Joins, and joins again after each timeout, because the server may be restarting, and some times after temporary
 * refusals, because it may be busy. A peer that is closed meanwhile does not join again.
 *
 * @param {Peer} peer
 * @param {{clock?: import("../util/clock.js").Clock, random?: () => number}} [options]
 */
export async function joinWithRetry(peer, { clock = systemClock, random } = {}) {
  const backoff = new Backoff({ base: BUSY_DELAY, random });
  for (let refusals = 0; ; ) {
    try {
      await peer.join();
      return;
    } catch (error) {
      if (error instanceof RefusedError && isTemporary(error) && refusals < BUSY_RETRIES) {
        refusals += 1;
        await new Promise((resolve) => clock.setTimeout(() => resolve(undefined), backoff.next()));
      } else if (!(error instanceof TimeoutError)) throw error;
      if (peer.isClosed) throw error;
    }
  }
}
