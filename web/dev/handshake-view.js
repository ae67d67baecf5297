/** Draws a handshake as a sequence diagram, step by step. It is a list, which screen readers read as such. */

import { element, make, showNotice } from "./dom.js";
import { sentenceOf } from "./failures.js";
import { shakeHands } from "./handshake.js";

/** @typedef {import("./handshake.js").Step} Step */

const NAMES = { a: "peer A", broker: "the broker", b: "peer B" };
/** From left to right. */
const ORDER = ["a", "broker", "b"];

/** @param {string} url of the socket */
export function openHandshake(url) {
  const button = element("shake", HTMLButtonElement);
  const state = element("shake-state", HTMLElement);
  const leaving = new AbortController();
  addEventListener("pagehide", () => leaving.abort());
  button.addEventListener("click", async () => {
    button.disabled = true;
    const diagram = new Diagram(element("sequence", HTMLOListElement));
    showNotice(state, "Shaking hands…", "wait");
    try {
      const time = await shakeHands(url, (step) => diagram.add(step), leaving.signal);
      showNotice(state, `Connected in ${Math.round(time)} ms. ${diagram.sent} messages went to the broker; now the two speak directly.`, "good");
    } catch (error) {
      showNotice(state, sentenceOf(error), "bad");
    }
    button.textContent = "Shake hands again";
    button.disabled = false;
  });
}

class Diagram {
  #list;
  /** The last step, to which an equal one is added: candidates come in numbers. */
  #last = /** @type {{step: Step, text: HTMLElement, count: number} | null} */ (null);
  /** How many messages went to the broker. */
  sent = 0;

  /** @param {HTMLOListElement} list */
  constructor(list) {
    this.#list = list;
    list.replaceChildren();
    /** @type {HTMLElement} */ (list.parentElement).hidden = false;
  }

  /** @param {Step} step */
  add(step) {
    if (step.to === "broker") this.sent += 1;
    const last = this.#last;
    if (last && last.step.from === step.from && last.step.to === step.to && last.step.label === step.label) {
      last.count += 1;
      last.text.textContent = `${step.label} × ${last.count}`;
      return;
    }
    const text = make("span", "label", step.label);
    this.#last = { step, text, count: 1 };
    this.#list.append(rowOf(step, text));
  }
}

/**
 * @param {Step} step
 * @param {HTMLElement} text
 */
function rowOf({ from, to, time }, text) {
  const [left, right] = [from, to].sort((one, other) => ORDER.indexOf(one) - ORDER.indexOf(other));
  const isDirect = left === "a" && right === "b";
  const who = make("span", "visually-hidden", `After ${Math.round(time)} ms, ${NAMES[from]} to ${NAMES[to]}: `);
  const clock = make("span", "clock", `${Math.round(time)} ms`);
  clock.setAttribute("aria-hidden", "true");
  const arrow = make("span", `between ${left}-${right} ${left === from ? "rightwards" : "leftwards"}${isDirect ? " direct" : ""}`, who, text);
  return make("li", "", clock, arrow);
}
