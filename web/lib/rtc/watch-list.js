/** The peers that this side watches, across reconnects. */

import { RefusedError } from "../channels/errors.js";
import { abortable, onAbort } from "../util/abort.js";
import { Backoff } from "../util/backoff.js";
import { systemClock } from "../util/clock.js";
import { isTemporary } from "../util/temporary.js";

/** @typedef {(peerId: string) => void} WatchCallback */

export class WatchList {
  #channel;
  #onUp;
  #onDown;
  #clock;
  /** @type {Set<string>} */
  #peerIds = new Set();
  /** How often the channel was joined: a join ends the retries of the one before it. */
  #joins = 0;

  /**
   * @param {import("../channels/channel.js").Channel} channel `peer:<id>`
   * @param {object} options
   * @param {WatchCallback} options.onUp
   * @param {WatchCallback} options.onDown
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(channel, { onUp, onDown, clock = systemClock }) {
    this.#channel = channel;
    this.#onUp = onUp;
    this.#onDown = onDown;
    this.#clock = clock;
    channel.on("peer_up", ({ peer_id }) => onUp(peer_id));
    channel.on("peer_down", ({ peer_id }) => onDown(peer_id));
  }

  /**
   * @param {string} peerId
   * @param {AbortSignal} [signal] ends the watch
   * @returns {Promise<boolean>} whether the peer is online now
   */
  add(peerId, signal) {
    if (!signal?.aborted) {
      this.#peerIds.add(peerId);
      onAbort(signal, () => void this.remove(peerId).catch(() => {})); // a closed channel has no watches
    }
    return abortable(this.#watch(peerId, signal), signal, `watch of ${peerId}`);
  }

  /** @param {string} peerId */
  async remove(peerId) {
    if (this.#peerIds.delete(peerId)) await this.#channel.push("unwatch", { peer_id: peerId });
  }

  /** After a rejoin: the server has forgotten the watches, and peers may have changed meanwhile. */
  renew() {
    this.#joins += 1;
    for (const peerId of this.#peerIds) {
      void this.#renew(peerId, this.#joins, new Backoff({ base: 1_000, max: 30_000 }));
    }
  }

  /**
   * @param {string} peerId
   * @param {number} join
   * @param {Backoff} backoff
   */
  async #renew(peerId, join, backoff) {
    if (join !== this.#joins || !this.#peerIds.has(peerId)) return;
    try {
      const online = await this.#watch(peerId);
      if (online) this.#onUp(peerId);
      else this.#onDown(peerId);
    } catch (error) {
      // The server is busy. After a disconnection, the next join renews the watch.
      if (!(error instanceof RefusedError && isTemporary(error))) return;
      this.#peerIds.add(peerId);
      this.#clock.setTimeout(() => void this.#renew(peerId, join, backoff), backoff.next());
    }
  }

  /**
   * @param {string} peerId
   * @param {AbortSignal} [signal]
   */
  async #watch(peerId, signal) {
    try {
      const { online } = await this.#channel.push("watch", { peer_id: peerId }, { signal });
      return online;
    } catch (error) {
      // A refusal is final; after any other failure the next join renews the watch.
      if (error instanceof RefusedError) this.#peerIds.delete(peerId);
      throw error;
    }
  }
}
