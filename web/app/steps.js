/** The steps of a connection to the sender, each as done, under way or failed. */

import { element } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {"server" | "sender" | "key" | "files"} Step */

const STEPS = /** @type {const} */ ([["server", "step_server"], ["sender", "step_sender"], ["key", "step_key"], ["files", "step_files"]]);
const STATES = /** @type {const} */ ({ done: "step_done", active: "step_active", failed: "step_failed", open: "step_open" });

/** How far the connection has come. */
let current = 0;

/**
 * Screen readers get the same from the page's status line, and these words only when they read the list.
 *
 * @param {Step | null} step that is under way; null hides the steps
 */
export function showStep(step) {
  const list = element("steps", HTMLElement);
  list.hidden = step === null;
  if (step === null) return;
  current = STEPS.findIndex(([name]) => name === step);
  draw(list, "active");
}

/** The step that is under way has failed. */
export function failStep() {
  const list = element("steps", HTMLElement);
  if (!list.hidden) draw(list, "failed");
}

/**
 * @param {HTMLElement} list
 * @param {"active" | "failed"} state of the current step
 */
function draw(list, state) {
  list.replaceChildren(...STEPS.map(([, label], index) => {
    const shown = index < current ? "done" : index === current ? state : "open";
    const row = document.createElement("li");
    const word = document.createElement("span");
    row.className = shown;
    word.className = "visually-hidden";
    word.textContent = t(STATES[shown]);
    row.append(t(label), " ", word);
    if (index === current) row.setAttribute("aria-current", "step");
    return row;
  }));
}
