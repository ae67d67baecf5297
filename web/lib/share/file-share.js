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
import { Emitter } from "../util/emitter.js";
import { HandclaspError } from "../util/errors.js";
import { Catalogue } from "./catalogue.js";
import { ProofError } from "./errors.js";
import { prove } from "./key-proof.js";
import { RateLimit } from "./rate-limit.js";
import { RemoteReceiver } from "./remote-receiver.js";

/** How many receivers are remembered, including those that have left. */
const MAX_RECEIVERS = 100;
/** How long a connection stays open after its channel was closed, so that the last messages arrive (ms). */
const LINGER = 5_000;

/**
 * Events: `receiver` for each new receiver that has proved the key; `refused` for each peer with a wrong
 * key, with their number so far.
 *
 * @extends {Emitter<{receiver: [RemoteReceiver], refused: [number]}>}
 */
export class FileShare extends Emitter {
  /** @type {Map<string, RemoteReceiver>} by peer id */
  #receivers = new Map();
  #clock;
  #rateLimit;
  #refusedCount = 0;

  /**
   * @param {import("../rtc/peer.js").Peer} peer joined now or later; you may use it for other things too
   * @param {Uint8Array<ArrayBuffer>} key 16 bytes that the receivers have to hold too
   * @param {object} [options]
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(peer, key, { clock = systemClock } = {}) {
    super();
    /** The key that new receivers have to prove. A change does not affect those that have proved. */
    this.key = key;
    this.catalogue = new Catalogue();
    this.#clock = clock;
    this.#rateLimit = new RateLimit(clock);
    peer.on("connection", (connection) => void this.#serve(connection));
  }

  /** @returns {RemoteReceiver[]} in order of arrival; of those that left, the latest ones */
  get receivers() {
    return [...this.#receivers.values()];
  }

  /** @param {import("../rtc/connection.js").Connection} connection */
  async #serve(connection) {
    const channel = await connection.opened;
    try {
      const onProved = this.#rateLimit.tryAcquire(connection.peerId);
      if (!onProved) return channel.send({ type: "refused", reason: "too_many_tries" });
      await prove(channel, { key: this.key, role: "sharer", fingerprints: connection.fingerprints() });
      onProved();
      await this.#receiverOf(connection.peerId).serve(channel, this.catalogue);
    } catch (error) {
      if (!(error instanceof HandclaspError)) throw error;
      if (error instanceof ProofError) this.emit("refused", (this.#refusedCount += 1));
    } finally {
      channel.close(); // the last messages are still being sent, so the connection is closed later
      this.#clock.setTimeout(() => connection.close(), LINGER);
    }
  }

  /** @param {string} peerId has proved the key */
  #receiverOf(peerId) {
    const known = this.#receivers.get(peerId);
    if (known) return known;
    const receiver = new RemoteReceiver(peerId);
    this.#receivers.set(peerId, receiver);
    this.#forgetOldest();
    this.emit("receiver", receiver);
    return receiver;
  }

  /** A peer that holds the key may connect under any number of ids, so the oldest that left are dropped. */
  #forgetOldest() {
    if (this.#receivers.size <= MAX_RECEIVERS) return;
    const disconnected = this.receivers.slice(0, -1).filter(({ isConnected }) => !isConnected);
    const oldest = disconnected.find(({ state }) => state === "left") ?? disconnected[0];
    if (!oldest) return; // the peer limits the connected ones
    this.#receivers.delete(oldest.peerId);
    oldest.emit("forgotten");
  }
}
