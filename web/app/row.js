/** One receiver in the sharer's list: what it has taken so far, in words and as a bar. */

import { announce } from "./page.js";
import { percent } from "./words.js";

/** @type {Record<string, string>} by the reason of an error; else it left */
const FAILURES = {
  wrong_key: "Turned away: its link has another key",
  protocol: "Turned away: its page does not speak as this one does",
  hash: "Failed: the file has changed on your disk. Share it anew",
  unreadable: "Failed: the file cannot be read any more. Share it anew",
  refused: "Gave up",
};

export class Row {
  #name;
  #item = document.createElement("li");
  #line = document.createElement("p");
  #state = document.createElement("span");
  #bar = document.createElement("progress");
  #percent = 0;

  /** @param {string} name */
  constructor(name) {
    this.#name = name;
    const label = document.createElement("strong");
    label.textContent = name;
    this.#bar.value = 0;
    this.#bar.setAttribute("aria-label", `Download by ${name}`);
    this.#line.append(label, this.#state);
    this.#item.append(this.#line);
    this.#state.textContent = "Checking its key";
  }

  /** The list item, to be put into the page by the caller. */
  get element() {
    return this.#item;
  }

  verified() {
    this.#tell("Verified, has not started yet");
  }

  /**
   * @param {number} written
   * @param {number} size
   */
  progress(written, size) {
    this.#percent = percent(written, size);
    this.#bar.value = size === 0 ? 1 : written / size;
    if (!this.#bar.isConnected) this.#item.append(this.#bar);
    this.#state.textContent = `${this.#percent} % written`;
  }

  done() {
    this.#item.className = "done";
    this.#bar.remove();
    this.#tell("Has the whole file, hashes agree");
  }

  /** @param {string} reason of the error, or "" */
  failed(reason) {
    this.#item.className = "failed";
    this.#bar.remove();
    this.#tell(FAILURES[reason] ?? `Left at ${this.#percent} %`);
  }

  /** @param {string} state */
  #tell(state) {
    this.#state.textContent = state;
    announce(`${this.#name}: ${state}`);
  }
}
