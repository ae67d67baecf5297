/**
 * How fast a share's key, and the password in it, may be guessed: by all strangers
 * together, since another id costs nobody anything. What a proof is, proof.js says.
 */

import { systemClock } from "../util/clock.js";

/** Tries at once; so many strangers may be proving at a time. */
const TRIES = 10;
/** Until there is one more (ms): about 8,600 a day. */
const REFILL = 10_000;
/** Visitors who need not queue with strangers. */
const KNOWN = 256;

export class Guard {
  #clock;
  #tries = TRIES;
  #counted;
  /** @type {Set<string>} ids that have proved, the latest last; ids cannot be borrowed */
  #known = new Set();

  /** @param {import("../util/clock.js").Clock} [clock] */
  constructor(clock = systemClock) {
    this.#clock = clock;
    this.#counted = clock.now();
  }

  /**
   * @param {string} peerId
   * @returns {(() => void) | null} to be called once it has proved, which gives the try back;
   *   null: it may not try now
   */
  admit(peerId) {
    // Once, until it has proved again: an id is only as safe as the broker that says it.
    const isKnown = this.#known.delete(peerId);
    this.#refill();
    if (!isKnown && this.#tries < 1) return null;
    if (!isKnown) this.#tries -= 1;
    return () => {
      if (!isKnown) this.#tries = Math.min(TRIES, this.#tries + 1);
      this.#known.add(peerId);
      const [oldest] = this.#known;
      if (this.#known.size > KNOWN) this.#known.delete(oldest);
    };
  }

  #refill() {
    const now = this.#clock.now();
    this.#tries = Math.min(TRIES, this.#tries + (now - this.#counted) / REFILL);
    this.#counted = now;
  }
}
