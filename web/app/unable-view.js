/** The view of a page that can neither share nor receive: it says why, and what helps. */

import { element, showText } from "./dom.js";
import { remedyOf } from "./error-key.js";
import { t } from "./i18n.js";
import { createReloadButton } from "./problem.js";

/** @typedef {import("../lib/share/share-link.js").NoShareLink} NoShareLink */

/** @param {Exclude<NoShareLink, "none"> | "insecure" | "fail.no_webrtc"} cause */
export async function openUnableView(cause) {
  const place = element("unable", HTMLElement);
  const title = document.createElement("h1");
  title.textContent = t(isLink() ? "receive_title" : "share_title");
  place.before(title);
  showText(place, t(cause));
  if (cause === "insecure") place.after(createSecureLink());
  else if (remedyOf(cause) === "reload") place.after(createReloadButton());
  else place.after((await import("./link-form.js")).createLinkForm());
}

function isLink() {
  return location.search !== "" || location.hash !== "";
}

/** The same page over https, if the server has it. */
function createSecureLink() {
  const link = document.createElement("a");
  link.className = "button";
  link.href = location.href.replace(/^http:/, "https:");
  link.textContent = t("open_secure");
  return link;
}
