/** The progress of a transfer in the tab's title and icon, and a wake lock that keeps the screen on. */

import { element } from "./dom.js";

const ICON_SIZE = 32;
let title = "";
let shownPercent = -1;
let wakeLock = /** @type {Promise<WakeLockSentinel> | null} */ (null);
let isTransferring = false;

/** @param {string} text the title without a transfer */
export function setTabTitle(text) {
  title = text;
  document.title = text;
}

/** @param {number | null} fraction done; null without a transfer */
export function showTabProgress(fraction) {
  isTransferring = fraction !== null;
  updateWakeLock();
  const percent = fraction === null ? -1 : Math.floor(fraction * 100);
  if (percent === shownPercent) return;
  shownPercent = percent;
  document.title = percent < 0 ? title : `${percent} % · ${title}`;
  element("icon", HTMLLinkElement).href = percent < 0 ? "icon.svg" : drawIcon(percent / 100);
}

/** When its screen turns off, a phone suspends the page and the transfer. */
function updateWakeLock() {
  if (isTransferring && !wakeLock && document.visibilityState === "visible") {
    wakeLock = navigator.wakeLock?.request("screen") ?? null;
    wakeLock?.then((sentinel) => sentinel.addEventListener("release", () => (wakeLock = null))).catch(() => (wakeLock = null));
  } else if (!isTransferring && wakeLock) {
    void wakeLock.then((sentinel) => sentinel.release()).catch(() => {}); // the request was refused
    wakeLock = null;
  }
}

// The browser releases the lock whenever the page is hidden.
document.addEventListener("visibilitychange", updateWakeLock);

/** @param {number} fraction */
function drawIcon(fraction) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = ICON_SIZE;
  const context = canvas.getContext("2d");
  if (!context) return "icon.svg";
  const drawRing = (/** @type {string} */ colour, /** @type {number} */ part) => {
    context.strokeStyle = colour;
    context.lineWidth = ICON_SIZE / 4;
    context.beginPath();
    context.arc(ICON_SIZE / 2, ICON_SIZE / 2, ICON_SIZE / 2.8, -Math.PI / 2, (2 * part - 0.5) * Math.PI);
    context.stroke();
  };
  drawRing("#9db5ae", 1);
  drawRing("#1f6f5c", fraction);
  return canvas.toDataURL();
}
