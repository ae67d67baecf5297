/** The row of one receiver in the sharer's list: its state and progress. */

import { deviceName } from "./device-name.js";
import { announce } from "./dom.js";
import { formatSize, formatTime, percent, t } from "./i18n.js";
import { notify } from "./notify.js";

const ACTIVE = ["downloading", "paused"];

/**
 * @param {import("../lib/share/remote-receiver.js").RemoteReceiver} receiver
 * @param {string} name
 * @returns {HTMLLIElement} updates itself when the receiver changes
 */
export function createReceiverRow(receiver, name) {
  const row = document.createElement("li");
  const line = document.createElement("p");
  const label = document.createElement("strong");
  const stateLabel = document.createElement("span");
  const bar = document.createElement("progress");
  const stop = document.createElement("button");
  bar.setAttribute("aria-label", name);
  stop.type = "button";
  stop.className = "small";
  stop.textContent = t("stop_this");
  stop.setAttribute("aria-label", t("stop_one", name));
  stop.addEventListener("click", () => receiver.cancel());
  line.append(label, stateLabel);
  row.append(line, bar, stop);
  let lastState = "";
  let since = "";
  const update = () => {
    const { state, written, total, failed } = receiver;
    const isActive = ACTIVE.includes(state);
    const device = deviceName(receiver.device);
    label.textContent = device ? `${name} · ${device}` : name;
    row.className = state === "done" && failed > 0 ? "failed" : state;
    bar.hidden = !isActive;
    stop.hidden = !isActive;
    bar.value = total === 0 ? 0 : written / total;
    if (state !== lastState) since = formatTime(new Date());
    stateLabel.textContent = t(textKey(receiver), percent(written, total), formatSize(total), since, failed);
    if (state !== lastState) announce(`${name}: ${stateLabel.textContent}`);
    // A row that begins with it is one of before a reload.
    if (state === "done" && state !== lastState && lastState !== "") void notify(failed === 0 ? t("notify_sent", formatSize(total)) : stateLabel.textContent);
    lastState = state;
  };
  receiver.on("change", update);
  receiver.on("forgotten", () => row.remove());
  update();
  return row;
}

/** @param {import("../lib/share/remote-receiver.js").RemoteReceiver} receiver */
function textKey({ state, written, failed }) {
  if (state === "left" && written === 0) return "row.left_early";
  if (state === "done" && failed > 0) return failed === 1 ? "row.incomplete_one" : "row.incomplete";
  return /** @type {const} */ (`row.${state}`);
}
