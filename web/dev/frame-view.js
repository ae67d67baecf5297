/** Shows the frames of a FrameLog as a list, in batches, so that a flood of frames does not freeze the page. */

import { make } from "./dom.js";
import { FRAME_LIMIT, FrameLog, asText, timeOf } from "./frame-log.js";

/** Characters of a frame that are shown without opening it. */
const SHORT = 240;

export class FrameView {
  #log = new FrameLog();
  #list;
  #state;
  #isScheduled = false;
  /** What is shown while the list is paused, or null. */
  #paused = /** @type {{frames: readonly import("./frame-log.js").Frame[], count: number} | null} */ (null);
  /** The number of the newest frame in the list. */
  #newest = 0;

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} state how many frames there are
   */
  constructor(list, state) {
    this.#list = list;
    this.#state = state;
    this.#show();
  }

  /**
   * @param {"sent" | "received"} direction
   * @param {string | ArrayBuffer} data
   */
  add(direction, data) {
    this.#log.add(direction, data);
    this.#schedule();
  }

  /** @returns {boolean} whether it is paused now: frames are recorded, and shown when it goes on */
  togglePause() {
    this.#paused = this.#paused ? null : { frames: [...this.#log.frames], count: this.#log.count };
    this.#schedule();
    return this.#paused !== null;
  }

  clear() {
    this.#log.clear();
    if (this.#paused) this.#paused = { frames: [], count: this.#log.count };
    this.#list.replaceChildren();
    this.#schedule();
  }

  /** @returns {string} a line for each frame that is shown */
  asText() {
    return asText(this.#paused?.frames ?? this.#log.frames);
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.#show();
    });
  }

  #show() {
    const frames = this.#paused?.frames ?? this.#log.frames;
    const isAtEnd = this.#list.scrollTop + this.#list.clientHeight >= this.#list.scrollHeight - 8;
    const added = frames.filter(({ number }) => number > this.#newest);
    if (added.length > 0) {
      this.#newest = added[added.length - 1].number;
      this.#list.append(...added.map(row));
    }
    while (this.#list.childElementCount > frames.length) this.#list.firstElementChild?.remove();
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
    this.#state.textContent = this.#sum(frames.length);
  }

  /** @param {number} shown */
  #sum(shown) {
    if (this.#paused) return `Paused, ${this.#log.count - this.#paused.count} newer`;
    if (this.#log.count === 0) return "No frames yet";
    return shown === FRAME_LIMIT ? `The last ${FRAME_LIMIT} of ${this.#log.count} frames` : `${shown} frames`;
  }
}

/** @param {import("./frame-log.js").Frame} frame */
function row(frame) {
  const { direction, bytes, text } = frame;
  const arrow = make("span", "arrow", direction === "sent" ? "↑" : "↓");
  arrow.setAttribute("aria-hidden", "true");
  const head = make("span", "frame-head", arrow, make("span", "visually-hidden", `${direction} `), make("time", "", timeOf(frame)), ` ${bytes} B`);
  const content = text.length <= SHORT ? make("code", "", text) : make("details", "", make("summary", "", make("code", "", `${text.slice(0, SHORT)}…`)), make("code", "", text));
  return make("li", direction, head, content);
}
