/** The peers whose presence is followed, over reconnects. What follows from their coming and going is peer.js's. */

import { onAbort, unlessAborted } from "../util/abort.js";
import { RefusedError } from "../util/errors.js";

/** @typedef {(peerId: string) => void} Tell */

export class Watches {
  #channel;
  #up;
  #down;
  /** @type {Set<string>} */
  #watched = new Set();

  /**
   * @param {import("../channels/channel.js").Channel} channel `peer:<id>`
   * @param {{up: Tell, down: Tell}} tell
   */
  constructor(channel, { up, down }) {
    this.#channel = channel;
    this.#up = up;
    this.#down = down;
    channel.on("peer_up", ({ peer_id }) => up(peer_id));
    channel.on("peer_down", ({ peer_id }) => down(peer_id));
  }

  /**
   * @param {string} peerId
   * @param {AbortSignal} [signal] ends the watch, whenever it is given
   * @returns {Promise<boolean>} whether it is there now
   */
  add(peerId, signal) {
    if (!signal?.aborted) {
      this.#watched.add(peerId);
      onAbort(signal, () => void this.remove(peerId).catch(() => {})); // who is gone watches nobody
    }
    return unlessAborted(this.#ask(peerId, signal), signal, `watch of ${peerId}`);
  }

  /** @param {string} peerId */
  async remove(peerId) {
    if (this.#watched.delete(peerId)) await this.#channel.push("unwatch", { peer_id: peerId });
  }

  /** The server forgot what this side watched, and there may be news meanwhile. */
  again() {
    for (const peerId of this.#watched) {
      this.#ask(peerId).then(
        (online) => (online ? this.#up(peerId) : this.#down(peerId)),
        () => {}, // the connection is gone again; the next join asks anew
      );
    }
  }

  /**
   * @param {string} peerId
   * @param {AbortSignal} [signal]
   */
  async #ask(peerId, signal) {
    try {
      const { online } = await this.#channel.push("watch", { peer_id: peerId }, { signal });
      return online;
    } catch (error) {
      // Refused for good; after any other failure the next join asks again.
      if (error instanceof RefusedError) this.#watched.delete(peerId);
      throw error;
    }
  }
}
