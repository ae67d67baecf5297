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
import { RateLimit } from "./rate-limit.js";
import { RemoteReceiver } from "./remote-receiver.js";

/** @typedef {{wrongKeys: number, wrongPasswords: number}} RefusedCounts */

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

/**
 * Events: `receiver` for each new receiver that has proved the key and the password; `refused` for each
 * peer that has not, with their numbers so far. Only peers that have proved the key can try passwords.
 *
 * @extends {Emitter<{receiver: [RemoteReceiver], refused: [RefusedCounts]}>}
 */
export class FileShare extends Emitter {
  /** @type {Map<string, RemoteReceiver>} by peer id */
  #receivers = new Map();
  #key;
  #device;
  #clock;
  #rateLimit;
  #refused = { wrongKeys: 0, wrongPasswords: 0 };
  /** @type {Set<import("../rtc/message-channel.js").RtcMessageChannel>} have not proved yet, oldest first */
  #strangers = new Set();
  /** @type {Map<string, import("./remote-receiver.js").ReceiverRecord>} by peer id */
  #earlier;

  /**
   * @param {import("../rtc/peer.js").Peer} peer joined now or later; you may use it for other things too
   * @param {Uint8Array<ArrayBuffer>} key 16 bytes that the receivers have to hold too
   * @param {object} [options]
   * @param {Uint8Array<ArrayBuffer> | null} [options.passwordKey] from `derivePasswordKey`, if there is a password
   * @param {import("./remote-receiver.js").ReceiverRecord[]} [options.earlier] the receivers that this share had
   *   before its page was reloaded
   * @param {import("./device.js").Device | null} [options.device] what receivers that have proved the key are told about
   *   this side (default: the browser; null: nothing)
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(peer, key, { passwordKey = null, earlier = [], device = thisDevice(), clock = systemClock } = {}) {
    super();
    this.#key = key;
    this.#device = device;
    /** What new receivers have to prove besides the key. A change does not affect those that have proved. */
    this.passwordKey = passwordKey;
    this.catalogue = new Catalogue();
    this.#earlier = new Map(earlier.map((record) => [record.peerId, record]));
    this.#clock = clock;
    this.#rateLimit = new RateLimit(clock);
    peer.on("connection", (connection) => void this.#serve(connection));
  }

  /** @returns {RemoteReceiver[]} in order of arrival; of those that left, the latest ones */
  get receivers() {
    return [...this.#receivers.values()];
  }

  /**
   * Ends the share: tells the connected receivers, which then do not wait for it. The caller closes the peer.
   *
   * @returns {Promise<void>} resolves when they know; after two seconds in which they have taken nothing of what was
   *   still to be sent to them; or after 30 seconds
   */
  async stop() {
    const told = Promise.all(this.receivers.map((receiver) => receiver.end())).then(() => true);
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
      await this.#receiverOf(connection.peerId).serve(channel, this.catalogue, this.#device);
    } catch (error) {
      if (!(error instanceof HandclaspError)) throw error;
      if (error instanceof ProofError) this.#countRefused(error.reason);
    } finally {
      channel.close(); // the last messages are still being sent, so the connection is closed later
      this.#clock.setTimeout(() => connection.close(), LINGER);
    }
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
    const receiver = new RemoteReceiver(peerId, this.#earlier.get(peerId));
    this.#receivers.set(peerId, receiver);
    this.#forgetOldest();
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
