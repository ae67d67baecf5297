/**
 * The presence list of a topic, kept up to date from the server's `presence_state` and
 * `presence_diff` events. It sends nothing.
 *
 *     const room = socket.channel("room:lobby", { meta: { name: "Mai" } });
 *     const presence = new Presence(room);
 *     presence.on("sync", () => console.log(presence.list()));
 *     await room.join();
 */

import { Emitter } from "../util/emitter.js";

/** @typedef {{phx_ref: string, phx_ref_prev?: string, [key: string]: any}} PresenceMeta */
/** @typedef {{metas: PresenceMeta[], [key: string]: any}} PresenceEntry one key with all its connections */
/** @typedef {Record<string, PresenceEntry>} PresenceState */
/** @typedef {{joins: PresenceState, leaves: PresenceState}} PresenceDiff */

/**
 * Events: `join (key, metas)` with the new metas, `leave (key, metas)` with the removed ones, and `sync`
 * after each state or diff was applied. Create it before joining the channel.
 *
 * @template {object} [Meta=Record<string, any>] what each client says about itself
 * @extends {Emitter<{join: [string, Array<PresenceMeta & Meta>], leave: [string, Array<PresenceMeta & Meta>], sync: []}>}
 */
export class Presence extends Emitter {
  /** @type {Map<string, PresenceEntry>} */
  #entries = new Map();
  /** Diffs that arrived before the state they apply to; null once the state is there. */
  #pendingDiffs = /** @type {PresenceDiff[] | null} */ ([]);

  /** @param {import("./channel.js").Channel} channel */
  constructor(channel) {
    super();
    channel.on("presence_state", (state) => this.#syncState(state));
    channel.on("presence_diff", (diff) => this.#syncDiff(diff));
    // Each join starts with a new state; the entries so far may be outdated by then.
    channel.onState((state) => {
      if (state === "joining") this.#pendingDiffs = [];
    });
  }

  /** @returns {Array<{key: string, metas: Array<PresenceMeta & Meta>}>} all entries, in order of arrival */
  list() {
    return Array.from(this.#entries, ([key, { metas, ...rest }]) => ({ ...rest, metas: this.#typed(metas), key }));
  }

  /** @param {PresenceState} state */
  #syncState(state) {
    const pending = this.#pendingDiffs ?? [];
    this.#pendingDiffs = null;
    this.#apply(difference(this.#entries, state));
    for (const diff of pending) this.#apply(diff);
    this.emit("sync");
  }

  /** @param {PresenceDiff} diff */
  #syncDiff(diff) {
    if (this.#pendingDiffs) {
      this.#pendingDiffs.push(diff);
      return;
    }
    this.#apply(diff);
    this.emit("sync");
  }

  /**
   * Joins before leaves: an update consists of one of each, and the key must not vanish in between.
   *
   * @param {PresenceDiff} diff
   */
  #apply({ joins, leaves }) {
    for (const [key, entry] of Object.entries(joins)) this.#add(key, entry);
    for (const [key, entry] of Object.entries(leaves)) this.#remove(key, entry);
  }

  /**
   * @param {string} key
   * @param {PresenceEntry} entry
   */
  #add(key, entry) {
    const metas = this.#entries.get(key)?.metas ?? [];
    const added = without(entry.metas, metas);
    this.#entries.set(key, { ...entry, metas: [...metas, ...added] });
    if (added.length > 0) this.emit("join", key, this.#typed(added));
  }

  /**
   * @param {string} key
   * @param {PresenceEntry} entry
   */
  #remove(key, entry) {
    const known = this.#entries.get(key);
    if (!known) return;
    const remaining = without(known.metas, entry.metas);
    const removed = without(known.metas, remaining);
    if (remaining.length > 0) this.#entries.set(key, { ...known, metas: remaining });
    else this.#entries.delete(key);
    if (removed.length > 0) this.emit("leave", key, this.#typed(removed));
  }

  /**
   * @param {PresenceMeta[]} metas as the server sends them: the caller vouches for their form
   * @returns {Array<PresenceMeta & Meta>}
   */
  #typed(metas) {
    return /** @type {Array<PresenceMeta & Meta>} */ (metas);
  }
}

/**
 * @param {PresenceMeta[]} metas
 * @param {PresenceMeta[]} others
 * @returns {PresenceMeta[]} those of `metas` whose phx_ref is not among `others`
 */
function without(metas, others) {
  const refs = new Set(others.map((meta) => meta.phx_ref));
  return metas.filter((meta) => !refs.has(meta.phx_ref));
}

/**
 * @param {Map<string, PresenceEntry>} known
 * @param {PresenceState} state
 * @returns {PresenceDiff} turns `known` into `state`
 */
function difference(known, state) {
  /** @type {PresenceState} */
  const leaves = Object.create(null);
  for (const [key, entry] of known) {
    const metas = without(entry.metas, Object.hasOwn(state, key) ? state[key].metas : []);
    if (metas.length > 0) leaves[key] = { ...entry, metas };
  }
  return { joins: state, leaves };
}
