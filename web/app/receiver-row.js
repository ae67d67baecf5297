/** One receiver in the sharer's list: what it has taken so far, in words and as a bar. */

import { announce } from "./dom.js";
import { percent, sizeText, t, timeText } from "./i18n.js";

const ACTIVE = ["downloading", "paused"];

/**
 * @param {import("../lib/index.js").Reception} receiver
 * @param {string} name
 * @returns {HTMLLIElement} that follows the receiver
 */
export function rowOf(receiver, name) {
  const item = document.createElement("li");
  const line = document.createElement("p");
  const label = document.createElement("strong");
  const state = document.createElement("span");
  const bar = document.createElement("progress");
  const stop = document.createElement("button");
  label.textContent = name;
  bar.setAttribute("aria-label", name);
  stop.type = "button";
  stop.textContent = t("stop_this");
  stop.setAttribute("aria-label", t("stop_one", name));
  stop.addEventListener("click", () => receiver.cancel());
  line.append(label, state);
  item.append(line, bar, stop);
  let last = "";
  let since = "";
  const show = () => {
    const { state: now, written, total } = receiver;
    const isActive = ACTIVE.includes(now);
    item.className = now;
    bar.hidden = !isActive;
    stop.hidden = !isActive;
    bar.value = total === 0 ? 0 : written / total;
    if (now !== last) since = timeText(new Date());
    const word = now === "left" && written === 0 ? "row.left_early" : /** @type {const} */ (`row.${now}`);
    state.textContent = t(word, percent(written, total), sizeText(total), since);
    if (now !== last) announce(`${name}: ${state.textContent}`);
    last = now;
  };
  receiver.on("change", show);
  receiver.on("forgotten", () => item.remove());
  show();
  return item;
}
