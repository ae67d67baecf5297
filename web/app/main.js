/** The app's entry point: loads the user's language, and opens the sharing or the receiving view. */

import { readLink } from "../lib/share/share-link.js";
import { prepareShareTarget } from "./background.js";
import { element } from "./dom.js";
import { loadLanguage } from "./i18n.js";
import { preferredLanguages, showLanguageSwitch } from "./language-switch.js";

// Another key in the same URL is another link.
addEventListener("hashchange", () => location.reload());
// A page that is restored from the browser's back/forward cache has lost its connections.
addEventListener("pageshow", (event) => event.persisted && location.reload());

prepareShareTarget();
const unloaded = element("unloaded", HTMLElement);
try {
  await loadLanguage(preferredLanguages());
  showLanguageSwitch();
  await openView(readLink());
  unloaded.remove();
} catch (error) {
  unloaded.hidden = false; // a module could not be loaded
  throw error;
}

/** @param {ReturnType<typeof readLink>} link */
async function openView(link) {
  const cause = !isSecureContext ? "insecure" : !("RTCPeerConnection" in globalThis) ? "fail.no_webrtc" : null;
  if (cause) return (await import("./unable-view.js")).openUnableView(cause);
  if (link === "none") return (await import("./share-view.js")).openShareView();
  if (typeof link === "string") return (await import("./unable-view.js")).openUnableView(link);
  return (await import("./receive-view.js")).openReceiveView(link);
}
