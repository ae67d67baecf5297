/** The peers that this side watches, across reconnects. */

import { RefusedError } from "../channels/errors.js";
import { abortable, onAbort } from "../util/abort.js";

/** @typedef {(peerId: string) => void} WatchCallback */

export class WatchList {
  #channel;
  #onUp;
  #onDown;
  /** @type {Set<string>} */
  #peerIds = new Set();

  /**
   * @param {import("../channels/channel.js").Channel} channel `peer:<id>`
   * @param {{onUp: WatchCallback, onDown: WatchCallback}} callbacks
   */
  constructor(channel, { onUp, onDown }) {
    this.#channel = channel;
    this.#onUp = onUp;
    this.#onDown = onDown;
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
    for (const peerId of this.#peerIds) {
      this.#watch(peerId).then(
        (online) => (online ? this.#onUp(peerId) : this.#onDown(peerId)),
        () => {}, // disconnected again; the next join renews it
      );
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
