/**
 * A peer's connections by remote id: at most one that is open and one that is being opened. An open
 * connection is replaced only when the newer one *is* open, so a failed call costs no working connection.
 */

import { PeerError } from "./errors.js";

/** @typedef {import("./connection.js").Connection} Connection */

export class ConnectionTable {
  /** @type {Map<string, Connection>} */
  #open = new Map();
  /** @type {Map<string, Connection>} */
  #attempts = new Map();

  /** @param {Connection} connection is being opened from now on */
  addAttempt(connection) {
    this.#replace(this.#attempts, connection);
  }

  /** @param {Connection} connection is open from now on */
  markOpen(connection) {
    this.#delete(this.#attempts, connection);
    this.#replace(this.#open, connection);
  }

  /**
   * @param {Connection} connection
   * @returns {boolean} whether it was the newest attempt and never opened
   */
  remove(connection) {
    this.#delete(this.#open, connection);
    return this.#delete(this.#attempts, connection);
  }

  /** @param {string} peerId */
  getOpen(peerId) {
    return this.#open.get(peerId);
  }

  /** @param {string} peerId */
  getAttempt(peerId) {
    return this.#attempts.get(peerId);
  }

  /**
   * @param {{peer_id: string, attempt: string}} signal
   * @returns {Connection | undefined} the connection that the signal belongs to; undefined for an older attempt
   */
  find({ peer_id, attempt }) {
    const candidates = [this.#attempts.get(peer_id), this.#open.get(peer_id)];
    return candidates.find((connection) => connection?.attempt === attempt);
  }

  /** @returns {Connection[]} */
  all() {
    return [...this.#open.values(), ...this.#attempts.values()];
  }

  /** @param {string} peerId @returns {number} how many other peers there are */
  countOthers(peerId) {
    const ids = new Set(this.all().map((connection) => connection.peerId));
    ids.delete(peerId);
    return ids.size;
  }

  /**
   * @param {Map<string, Connection>} connections
   * @param {Connection} connection
   */
  #replace(connections, connection) {
    const { peerId } = connection;
    const replaced = connections.get(peerId);
    connections.set(peerId, connection);
    replaced?.close(new PeerError("closed", `replaced by a newer connection to ${peerId}`));
  }

  /**
   * @param {Map<string, Connection>} connections
   * @param {Connection} connection
   */
  #delete(connections, connection) {
    return connections.get(connection.peerId) === connection && connections.delete(connection.peerId);
  }
}
