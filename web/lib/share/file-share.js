/**
 * Shares files with every peer that holds the key: each connection has to prove the key and is then
 * served from one catalogue. file-fetch.js is the other end.
 *
 *     const share = new FileShare(peer, key);
 *     share.catalogue.add([{ file }]);
 *     share.on("receiver", (receiver) => receiver.on("change", () => show(receiver)));
 *     await peer.join();
 */

import { systemClock } from "../util/clock.js";
import { deferred } from "../util/deferred.js";
import { Emitter } from "../util/emitter.js";
import { HandclaspError } from "../util/errors.js";
import { Catalogue } from "./catalogue.js";
import { thisDevice } from "./device.js";
import { ProofError } from "./errors.js";
import { prove } from "./key-proof.js";
import { END_MESSAGES } from "./protocol.js";
import { RateLimit } from "./rate-limit.js";
import { RemoteReceiver } from "./remote-receiver.js";
import { ShareLimits } from "./share-limits.js";

/** @typedef {{wrongKeys: number, wrongPasswords: number}} RefusedCounts */
/** @typedef {import("./share-limits.js").CloseCause} CloseCause */

/** How many receivers are remembered, including those that have left. */
const MAX_RECEIVERS = 100;
/** How many peers may be proving at a time. Beyond it, the one that takes longest has to go. */
const MAX_STRANGERS = 32;
/** How long a connection stays open after its channel was closed, so that the last messages arrive (ms). */
const LINGER = 5_000;
/** The end of a share gives up receivers that take nothing of what is still to be sent for this long (ms). */
const END_PATIENCE = 2_000;
/** How long the end of a share waits at most, over a slow network (ms). */
const END_TIMEOUT = 30_000;
/** How long a receiver of a share for one download keeps its place although it does nothing (ms). */
const IDLE_TIMEOUT = 300_000;
/** States of receivers that may go on when the share admits nobody any more. */
const RUNNING = ["downloading", "paused", "reconnected"];

/**
 * Events: `receiver` for each new receiver that has proved the key and the password; `refused` for each
 * peer that has not, with their numbers so far. Only peers that have proved the key can try passwords.
 * `closed` when the share admits nobody any more; `ended` when the last download that was under way then is over,
 * too. Later receivers are told why, as long as the peer is open.
 *
 * @extends {Emitter<{receiver: [RemoteReceiver], refused: [RefusedCounts], closed: [CloseCause], ended: [CloseCause]}>}
 */
export class FileShare extends Emitter {
  /** @type {Map<string, RemoteReceiver>} by peer id */
  #receivers = new Map();
  #key;
  #device;
  #clock;
  #idleTimeout;
  /** The ids of receivers that have made room, because they did nothing. @type {Set<string>} */
  #idle = new Set();
  #rateLimit;
  #refused = { wrongKeys: 0, wrongPasswords: 0 };
  /** @type {Set<import("../rtc/message-channel.js").RtcMessageChannel>} have not proved yet, oldest first */
  #strangers = new Set();
  /** @type {Map<string, import("./remote-receiver.js").ReceiverRecord>} by peer id */
  #earlier;
  #limits;
  /** What the events have said. */
  #said = { closed: /** @type {CloseCause | null} */ (null), isEnded: false };
  /** @type {Promise<void>[]} resolve when a receiver knows that the share is closed, or is gone */
  #told = [];

  /**
   * @param {import("../rtc/peer.js").Peer} peer joined now or later; you may use it for other things too
   * @param {Uint8Array<ArrayBuffer>} key 16 bytes that the receivers have to hold too
   * @param {object} [options]
   * @param {Uint8Array<ArrayBuffer> | null} [options.passwordKey] from `derivePasswordKey`, if there is a password
   * @param {import("./remote-receiver.js").ReceiverRecord[]} [options.earlier] the receivers that this share had
   *   before its page was reloaded
   * @param {import("./device.js").Device | null} [options.device] what receivers that have proved the key are told about
   *   this side (default: the browser; null: nothing)
   * @param {boolean} [options.once] whether it is for one download: it serves one receiver at a time, and ends when one
   *   has got all that it chose
   * @param {number} [options.idleTimeout] ms after which a receiver that does nothing has to make room, in a share for
   *   one download, when another one comes (default 300 000)
   * @param {boolean} [options.isUsed] whether that has happened already, before the page was reloaded
   * @param {Date | null} [options.expiresAt] when it ends; a download that is under way then goes on (default: never)
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(peer, key, { passwordKey = null, earlier = [], device = thisDevice(), once = false, idleTimeout = IDLE_TIMEOUT, isUsed = false, expiresAt = null, clock = systemClock } = {}) {
    super();
    this.#key = key;
    this.#device = device;
    /** What new receivers have to prove besides the key. A change does not affect those that have proved. */
    this.passwordKey = passwordKey;
    this.catalogue = new Catalogue();
    this.#earlier = new Map(earlier.map((record) => [record.peerId, record]));
    this.#clock = clock;
    this.#idleTimeout = idleTimeout;
    this.#rateLimit = new RateLimit(clock);
    this.#limits = new ShareLimits(clock, () => this.#applyLimits());
    Object.assign(this.#limits, { once, expiresAt });
    if (isUsed) this.#limits.use();
    peer.on("connection", (connection) => void this.#serve(connection));
  }

  /** @returns {RemoteReceiver[]} in order of arrival; of those that left, the latest ones */
  get receivers() {
    return [...this.#receivers.values()];
  }

  /** @returns {CloseCause | null} why it admits nobody any more; null: it admits receivers */
  get closed() {
    return this.#limits.closed;
  }

  get once() {
    return this.#limits.once;
  }

  /** Downloads that are complete do not count; false opens a share that was used. */
  set once(once) {
    this.#limits.once = once;
    this.#applyLimits();
  }

  get expiresAt() {
    return this.#limits.expiresAt;
  }

  /** A later time, or null, opens a share that has expired. */
  set expiresAt(expiresAt) {
    this.#limits.expiresAt = expiresAt;
    this.#applyLimits();
  }

  /**
   * Ends the share: tells the connected receivers, which then do not wait for it. The caller closes the peer.
   *
   * @returns {Promise<void>} resolves when they know; after two seconds in which they have taken nothing of what was
   *   still to be sent to them; or after 30 seconds
   */
  async stop() {
    this.#limits.stop();
    const told = Promise.all([...this.#told, ...this.receivers.map((receiver) => receiver.end())]).then(() => true);
    let waiting = this.#bufferedBytes();
    for (let waited = 0; waited < END_TIMEOUT; waited += END_PATIENCE) {
      const timeout = deferred();
      const timer = this.#clock.setTimeout(() => timeout.resolve(false), END_PATIENCE);
      const areTold = await Promise.race([told, timeout.promise]);
      this.#clock.clearTimeout(timer);
      const before = waiting;
      waiting = this.#bufferedBytes();
      if (areTold || waiting === 0 || waiting >= before) return;
    }
  }

  /** What was sent to the receivers, and waits for the network. */
  #bufferedBytes() {
    return this.receivers.reduce((sum, { bufferedBytes }) => sum + bufferedBytes, 0);
  }

  /** @param {import("../rtc/connection.js").Connection} connection */
  async #serve(connection) {
    const channel = await connection.opened;
    try {
      await this.#authenticate(channel, connection);
      const refusal = this.#refusalOf(connection.peerId);
      if (refusal) return channel.send({ type: "end", ...END_MESSAGES[refusal] });
      await this.#receiverOf(connection.peerId).serve(channel, this.catalogue, this.#device);
    } catch (error) {
      if (!(error instanceof HandclaspError)) throw error;
      if (error instanceof ProofError) this.#countRefused(error.reason);
    } finally {
      channel.close(); // the last messages are still being sent, so the connection is closed later
      this.#clock.setTimeout(() => connection.close(), LINGER);
      this.#applyLimits();
    }
  }

  /**
   * Timers of a hidden page may be late, so each receiver is checked when it has proved.
   *
   * @param {string} peerId has proved the key
   * @returns {CloseCause | "busy" | null}
   */
  #refusalOf(peerId) {
    this.#applyLimits();
    const known = this.#receivers.get(peerId);
    // It connects again before this side has noticed that its connection broke.
    const mayGoOn = known?.isConnected && RUNNING.includes(known.state);
    if (this.closed && !mayGoOn) return this.closed;
    return this.#makeRoom(peerId) ? null : "busy";
  }

  /**
   * In a share for one download, a receiver that does nothing keeps others out only for a while.
   *
   * @param {string} peerId of a receiver that comes for the only download
   * @returns {boolean} whether it can have it: receivers that have done nothing make room. One that has made room waits
   *   until the others have gone
   */
  #makeRoom(peerId) {
    if (!this.once) return true;
    const others = this.receivers.filter((other) => other.peerId !== peerId && other.isConnected && other.state !== "done");
    if (others.some(({ idleTime }) => idleTime < this.#idleTimeout)) return false;
    if (others.length > 0 && this.#idle.has(peerId)) return false;
    for (const other of others) {
      this.#idle.add(other.peerId);
      void other.end("busy");
    }
    return true;
  }

  /** Ends the receivers that may not go on, and says what has changed. */
  #applyLimits() {
    const { closed } = this;
    if (closed !== this.#said.closed) {
      this.#said = { closed, isEnded: false };
      this.#told = [];
      if (closed) this.emit("closed", closed);
    }
    if (!closed || this.#said.isEnded) return;
    const connected = this.receivers.filter(({ isConnected }) => isConnected);
    for (const receiver of connected) if (!RUNNING.includes(receiver.state)) this.#told.push(receiver.end(closed));
    if (connected.length > 0) return;
    const said = Object.assign(this.#said, { isEnded: true });
    void Promise.all(this.#told).then(() => said === this.#said && this.emit("ended", closed));
  }

  /** @param {RemoteReceiver} receiver */
  #watch(receiver) {
    let before = receiver.state;
    receiver.on("change", () => {
      const { state, failed, peerId } = receiver;
      // One that was done before keeps that state when it connects again.
      if (state === "done" && before !== "done" && failed === 0) this.#limits.use();
      if (before === "done" && state !== "done" && !this.#makeRoom(peerId)) void receiver.end("busy");
      before = state;
      this.#applyLimits();
    });
  }

  /**
   * @param {import("../rtc/message-channel.js").RtcMessageChannel} channel
   * @param {import("../rtc/connection.js").Connection} connection
   */
  async #authenticate(channel, connection) {
    let onProved = () => {};
    const mayTryPassword = () => {
      const acquired = this.#rateLimit.tryAcquire(connection.peerId);
      if (acquired) onProved = acquired;
      return acquired !== null;
    };
    this.#admitStranger(channel);
    try {
      const { passwordKey } = this;
      await prove(channel, { key: this.#key, passwordKey, mayTryPassword, role: "sharer", fingerprints: connection.fingerprints() });
    } finally {
      this.#strangers.delete(channel);
    }
    onProved();
  }

  /**
   * Strangers that never prove do not keep others out.
   *
   * @param {import("../rtc/message-channel.js").RtcMessageChannel} channel
   */
  #admitStranger(channel) {
    this.#strangers.add(channel);
    if (this.#strangers.size <= MAX_STRANGERS) return;
    const [oldest] = this.#strangers;
    this.#strangers.delete(oldest);
    oldest.close();
  }

  /** @param {string} reason of a ProofError */
  #countRefused(reason) {
    if (reason === "version") return;
    this.#refused[reason === "wrong_password" ? "wrongPasswords" : "wrongKeys"] += 1;
    this.emit("refused", { ...this.#refused });
  }

  /** @param {string} peerId has proved the key */
  #receiverOf(peerId) {
    const known = this.#receivers.get(peerId);
    if (known) return known;
    const receiver = new RemoteReceiver(peerId, this.#clock, this.#earlier.get(peerId));
    this.#receivers.set(peerId, receiver);
    this.#forgetOldest();
    this.#watch(receiver);
    this.emit("receiver", receiver);
    return receiver;
  }

  /** A peer that holds the key may connect under any number of ids, so the oldest that left are dropped. */
  #forgetOldest() {
    if (this.#receivers.size <= MAX_RECEIVERS) return;
    const disconnected = this.receivers.slice(0, -1).filter(({ isConnected }) => !isConnected);
    const oldest = disconnected.find(({ state }) => state === "left" || state === "stopped") ?? disconnected[0];
    if (!oldest) return; // the peer limits the connected ones
    this.#receivers.delete(oldest.peerId);
    oldest.emit("forgotten");
  }
}
