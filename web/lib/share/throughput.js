/** How fast something goes and how long it will take, from what was seen lately. */

import { systemClock } from "../util/clock.js";

/** Long enough to be calm, short enough to follow a change of network (ms). */
const SPAN = 5_000;

export class Meter {
  #clock;
  #size;
  /** @type {Array<{at: number, done: number}>} */
  #samples;

  /**
   * @param {number} size bytes in all
   * @param {object} [options]
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(size, { clock = systemClock } = {}) {
    this.#clock = clock;
    this.#size = size;
    this.#samples = [{ at: clock.now(), done: 0 }];
  }

  /** @param {number} bytes that were there already: they are done, and say nothing of speed */
  skip(bytes) {
    for (const sample of this.#samples) sample.done += bytes;
  }

  /**
   * @param {number} done bytes so far
   * @returns {{speed: number, left: number}} bytes a second and seconds; `left` is Infinity
   *   while nothing moves
   */
  update(done) {
    const at = this.#clock.now();
    this.#samples.push({ at, done });
    while (this.#samples.length > 2 && at - this.#samples[1].at > SPAN) this.#samples.shift();
    const first = this.#samples[0];
    const seconds = (at - first.at) / 1_000;
    const speed = seconds > 0 ? (done - first.done) / seconds : 0;
    return { speed, left: speed > 0 ? (this.#size - done) / speed : Infinity };
  }
}
