/**
 * Who is on a topic, kept in step with the server's `presence_state` and
 * `presence_diff`. Pure bookkeeping over a channel: it sends nothing.
 *
 *     const room = socket.channel("room:lobby", { meta: { name: "Mai" } });
 *     const presence = new Presence(room);
 *     presence.on("sync", () => console.log(presence.list()));
 *     await room.join();
 */

import { Emitter } from "../util/emitter.js";

/** @typedef {{phx_ref: string, phx_ref_prev?: string, [key: string]: any}} Meta */
/** @typedef {{metas: Meta[], [key: string]: any}} Entry one key and all its connections */
/** @typedef {Record<string, Entry>} State */
/** @typedef {{joins: State, leaves: State}} Diff */

/**
 * Events: `join (key, metas)` with the metas that are new, `leave (key, metas)` with those
 * that went, and `sync` after each state or diff was worked in. Make it before joining.
 *
 * @extends {Emitter<{join: [string, Meta[]], leave: [string, Meta[]], sync: []}>}
 */
export class Presence extends Emitter {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** Diffs that came before the state they build on; null once the state is there. */
  #early = /** @type {Diff[] | null} */ ([]);

  /** @param {import("./channel.js").Channel} channel */
  constructor(channel) {
    super();
    channel.on("presence_state", (state) => this.#replace(state));
    channel.on("presence_diff", (diff) => this.#diff(diff));
    // A new join starts with a state of its own; what was known may be outdated by then.
    channel.onState((state) => {
      if (state === "joining") this.#early = [];
    });
  }

  /** @returns {Array<{key: string, metas: Meta[]}>} everybody present, in order of arrival */
  list() {
    return Array.from(this.#entries, ([key, entry]) => ({ ...entry, key }));
  }

  /** @param {State} state */
  #replace(state) {
    const early = this.#early ?? [];
    this.#early = null;
    this.#apply(difference(this.#entries, state));
    for (const diff of early) this.#apply(diff);
    this.emit("sync");
  }

  /** @param {Diff} diff */
  #diff(diff) {
    if (this.#early) {
      this.#early.push(diff);
      return;
    }
    this.#apply(diff);
    this.emit("sync");
  }

  /**
   * Joins before leaves: an update is one of each, and must not make the key vanish between.
   *
   * @param {Diff} diff
   */
  #apply({ joins, leaves }) {
    for (const [key, entry] of Object.entries(joins)) this.#add(key, entry);
    for (const [key, entry] of Object.entries(leaves)) this.#remove(key, entry);
  }

  /**
   * @param {string} key
   * @param {Entry} entry
   */
  #add(key, entry) {
    const metas = this.#entries.get(key)?.metas ?? [];
    const fresh = without(entry.metas, metas);
    this.#entries.set(key, { ...entry, metas: [...metas, ...fresh] });
    if (fresh.length > 0) this.emit("join", key, fresh);
  }

  /**
   * @param {string} key
   * @param {Entry} entry
   */
  #remove(key, entry) {
    const known = this.#entries.get(key);
    if (!known) return;
    const rest = without(known.metas, entry.metas);
    const gone = without(known.metas, rest);
    if (rest.length > 0) this.#entries.set(key, { ...known, metas: rest });
    else this.#entries.delete(key);
    if (gone.length > 0) this.emit("leave", key, gone);
  }
}

/**
 * @param {Meta[]} metas
 * @param {Meta[]} others
 * @returns {Meta[]} those of `metas` whose phx_ref is not among `others`
 */
function without(metas, others) {
  const refs = new Set(others.map((meta) => meta.phx_ref));
  return metas.filter((meta) => !refs.has(meta.phx_ref));
}

/**
 * @param {Map<string, Entry>} known
 * @param {State} state
 * @returns {Diff} what turns `known` into `state`
 */
function difference(known, state) {
  /** @type {State} */
  const leaves = Object.create(null);
  for (const [key, entry] of known) {
    const metas = without(entry.metas, Object.hasOwn(state, key) ? state[key].metas : []);
    if (metas.length > 0) leaves[key] = { ...entry, metas };
  }
  return { joins: state, leaves };
}
