/** The link of a share: to copy, to share through the system, and as a QR code. */

import { copyText } from "./copy-text.js";
import { announce, createSvg, element } from "./dom.js";
import { t } from "./i18n.js";

/** The light border of a QR code, in modules. Cameras need it to find the code. */
const QUIET_ZONE = 4;
let isInitialized = false;

/** @param {string} link */
export function showLink(link) {
  const field = element("link", HTMLInputElement);
  const copy = element("copy", HTMLButtonElement);
  field.value = link;
  copy.textContent = t("copy"); // it may still show that the previous link was copied
  const qr = element("qr", HTMLElement);
  drawQrCode(link).then(
    () => (qr.hidden = false),
    () => (qr.hidden = true), // its module could not be loaded: the link can be copied
  );
  if (isInitialized) return;
  isInitialized = true;
  const share = element("share-link", HTMLButtonElement);
  field.addEventListener("focus", () => field.select());
  copy.focus();
  copy.addEventListener("click", async () => {
    field.select(); // if the browser does not allow it, the link can be copied with the keyboard
    const isCopied = await copyText(field.value);
    copy.textContent = t(isCopied ? "copied" : "copy_by_hand");
    announce(copy.textContent);
  });
  share.hidden = !navigator.share;
  // On phones, people pass a link on in the app where they talk.
  const isShareFirst = !share.hidden && !matchMedia("(any-pointer: fine)").matches;
  share.classList.toggle("primary", isShareFirst);
  copy.classList.toggle("primary", !isShareFirst);
  // Closing the share sheet rejects the promise and is not an error.
  share.addEventListener("click", () => void navigator.share({ url: field.value }).catch(() => {}));
}

/** @param {string} link */
async function drawQrCode(link) {
  const { encodeQr } = await import("../lib/util/qr-code.js");
  const code = encodeQr(link);
  const size = code.length + 2 * QUIET_ZONE;
  const path = code.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? `M${x + QUIET_ZONE} ${y + QUIET_ZONE}h1v1h-1z` : [])));
  const place = element("qr", HTMLElement);
  const svg = createSvg("svg", { viewBox: `0 0 ${size} ${size}`, "shape-rendering": "crispEdges" });
  svg.append(createSvg("path", { d: path.join("") }));
  place.replaceChildren(svg);
}
