/**
 * Limits how fast a share's password can be guessed by those who have its link. The limit counts all of
 * them together, because new ids cost an attacker nothing. The key of the link has 128 bits and needs no limit.
 */

import { systemClock } from "../util/clock.js";
import { TokenBucket } from "../util/token-bucket.js";

/** How many tries may be made at once. */
const BURST = 10;
/** The time until one more try is allowed (ms), which makes about 8,600 a day. */
const REFILL_INTERVAL = 10_000;
/** How many peers that have proved are remembered. */
const KNOWN_PEERS = 256;

/** A token bucket, which receivers that have proved before do not need. */
export class RateLimit {
  #bucket;
  /** @type {Set<string>} ids that have proved, the latest last; the broker protects ids from others */
  #knownPeers = new Set();

  /** @param {import("../util/clock.js").Clock} [clock] */
  constructor(clock = systemClock) {
    this.#bucket = new TokenBucket({ burst: BURST, interval: REFILL_INTERVAL, clock });
  }

  /**
   * @param {string} peerId
   * @returns {(() => void) | null} to be called after a correct proof, which returns the token; null
   *   when the peer may not try now
   */
  tryAcquire(peerId) {
    // Good for one try until it has proved again: an id is only as trustworthy as the broker.
    const isKnown = this.#knownPeers.delete(peerId);
    if (!isKnown && !this.#bucket.take()) return null;
    return () => {
      if (!isKnown) this.#bucket.give();
      this.#knownPeers.add(peerId);
      const [oldest] = this.#knownPeers;
      if (this.#knownPeers.size > KNOWN_PEERS) this.#knownPeers.delete(oldest);
    };
  }
}
