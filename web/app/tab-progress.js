/** What the rest of the device sees of a transfer: the tab's title and icon, and a screen that stays on. */

import { element } from "./dom.js";

const SIZE = 32;
let title = "";
let shown = -1;
let lock = /** @type {Promise<WakeLockSentinel> | null} */ (null);
let isBusy = false;

/** @param {string} text the title while nothing moves */
export function nameTab(text) {
  title = text;
  document.title = text;
}

/** @param {number | null} fraction done; null when nothing moves */
export function showInTab(fraction) {
  isBusy = fraction !== null;
  keepAwake();
  const percent = fraction === null ? -1 : Math.floor(fraction * 100);
  if (percent === shown) return;
  shown = percent;
  document.title = percent < 0 ? title : `${percent} % · ${title}`;
  element("icon", HTMLLinkElement).href = percent < 0 ? "/icon.svg" : drawIcon(percent / 100);
}

/** A screen that goes dark puts phones' pages to sleep, and the transfer with them. */
function keepAwake() {
  if (isBusy && !lock && document.visibilityState === "visible") {
    lock = navigator.wakeLock?.request("screen") ?? null;
    lock?.then((held) => held.addEventListener("release", () => (lock = null))).catch(() => (lock = null));
  } else if (!isBusy && lock) {
    void lock.then((held) => held.release()).catch(() => {}); // refused: there is nothing to release
    lock = null;
  }
}

// The browser lets go of it whenever the page is hidden.
document.addEventListener("visibilitychange", keepAwake);

/** @param {number} fraction */
function drawIcon(fraction) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const pen = canvas.getContext("2d");
  if (!pen) return "/icon.svg";
  const ring = (/** @type {string} */ colour, /** @type {number} */ part) => {
    pen.strokeStyle = colour;
    pen.lineWidth = SIZE / 4;
    pen.beginPath();
    pen.arc(SIZE / 2, SIZE / 2, SIZE / 2.8, -Math.PI / 2, (2 * part - 0.5) * Math.PI);
    pen.stroke();
  };
  ring("#9db5ae", 1);
  ring("#1f6f5c", fraction);
  return canvas.toDataURL();
}
