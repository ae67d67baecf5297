/** The link of a share as people pass it on: to copy, to share, to scan. */

import { announce, element } from "./dom.js";
import { t } from "./i18n.js";

/** Light modules around a code, without which cameras do not find it. */
const QUIET = 4;
let isReady = false;

/** @param {string} link */
export function showLink(link) {
  const field = element("link", HTMLInputElement);
  const copy = element("copy", HTMLButtonElement);
  field.value = link;
  copy.textContent = t("copy"); // another link than that copied before
  void drawQr(link);
  if (isReady) return;
  isReady = true;
  const share = element("share-link", HTMLButtonElement);
  field.addEventListener("focus", () => field.select());
  copy.focus();
  copy.addEventListener("click", async () => {
    const copied = await copyText(field);
    copy.textContent = t(copied ? "copied" : "copy_by_hand");
    announce(copy.textContent);
  });
  share.hidden = !navigator.share;
  // A sheet that is closed again is no failure.
  share.addEventListener("click", () => void navigator.share({ url: field.value }).catch(() => {}));
}

/** @param {string} link */
async function drawQr(link) {
  const { encodeQr } = await import("./qr-code.js");
  const code = encodeQr(link);
  const size = code.length + 2 * QUIET;
  const path = code.flatMap((row, y) => row.flatMap((dark, x) => (dark ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : [])));
  const picture = element("qr", HTMLElement);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const modules = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("shape-rendering", "crispEdges");
  modules.setAttribute("d", path.join(""));
  svg.append(modules);
  picture.replaceChildren(svg);
}

/** @param {HTMLInputElement} field */
async function copyText(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    return false; // no permission: the selection is there for the keyboard
  }
}
