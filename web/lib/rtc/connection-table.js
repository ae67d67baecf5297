/**
 * A peer's connections by the other side's id: at most one that is open and one that is
 * being opened. Only a newer one that *is* open replaces an open one, so a call that
 * leads nowhere costs nothing that works.
 */

import { PeerError } from "../util/errors.js";

/** @typedef {import("./connection.js").Connection} Connection */

export class Connections {
  /** @type {Map<string, Connection>} */
  #open = new Map();
  /** @type {Map<string, Connection>} */
  #attempts = new Map();

  /** @param {Connection} connection is being opened from now on */
  begun(connection) {
    this.#replace(this.#attempts, connection);
  }

  /** @param {Connection} connection is open from now on */
  opened(connection) {
    this.#forget(this.#attempts, connection);
    this.#replace(this.#open, connection);
  }

  /**
   * @param {Connection} connection
   * @returns {boolean} whether it was the newest attempt and never opened
   */
  closed(connection) {
    this.#forget(this.#open, connection);
    return this.#forget(this.#attempts, connection);
  }

  /** @param {string} peerId */
  open(peerId) {
    return this.#open.get(peerId);
  }

  /** @param {string} peerId */
  attempt(peerId) {
    return this.#attempts.get(peerId);
  }

  /**
   * @param {{peer_id: string, attempt: string}} signal
   * @returns {Connection | undefined} the one it is meant for; none if it is about an older attempt
   */
  of({ peer_id, attempt }) {
    const known = [this.#attempts.get(peer_id), this.#open.get(peer_id)];
    return known.find((connection) => connection?.attempt === attempt);
  }

  /** @returns {Connection[]} */
  all() {
    return [...this.#open.values(), ...this.#attempts.values()];
  }

  /** @param {string} peerId @returns {number} how many peers there are besides */
  others(peerId) {
    const ids = new Set(this.all().map((connection) => connection.peerId));
    ids.delete(peerId);
    return ids.size;
  }

  /**
   * @param {Map<string, Connection>} kept
   * @param {Connection} connection
   */
  #replace(kept, connection) {
    const { peerId } = connection;
    const replaced = kept.get(peerId);
    kept.set(peerId, connection);
    replaced?.close(new PeerError("closed", `a newer attempt of ${peerId} took over`));
  }

  /**
   * @param {Map<string, Connection>} kept
   * @param {Connection} connection
   */
  #forget(kept, connection) {
    return kept.get(connection.peerId) === connection && kept.delete(connection.peerId);
  }
}
