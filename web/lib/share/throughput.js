/** Measures the current speed of a transfer and estimates the time left. */

import { systemClock } from "../util/clock.js";

/** The period that is averaged: long enough for stable figures, short enough to follow a change of network (ms). */
const PERIOD = 5_000;

export class Throughput {
  #clock;
  #size;
  /** @type {Array<{at: number, done: number}>} */
  #samples;

  /**
   * @param {number} size total bytes
   * @param {object} [options]
   * @param {import("../util/clock.js").Clock} [options.clock]
   */
  constructor(size, { clock = systemClock } = {}) {
    this.#clock = clock;
    this.#size = size;
    this.#samples = [{ at: clock.now(), done: 0 }];
  }

  /** @param {number} bytes that were stored before: they count as done and not for the speed */
  skip(bytes) {
    for (const sample of this.#samples) sample.done += bytes;
  }

  /**
   * @param {number} done bytes so far
   * @returns {{speed: number, secondsLeft: number}} speed in bytes per second; `secondsLeft` is Infinity
   *   while nothing moves
   */
  update(done) {
    const at = this.#clock.now();
    this.#samples.push({ at, done });
    while (this.#samples.length > 2 && at - this.#samples[1].at > PERIOD) this.#samples.shift();
    const first = this.#samples[0];
    const seconds = (at - first.at) / 1_000;
    const speed = seconds > 0 ? (done - first.done) / seconds : 0;
    return { speed, secondsLeft: speed > 0 ? (this.#size - done) / speed : Infinity };
  }
}
