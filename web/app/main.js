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
  const [openView] = await Promise.all([loadView(readLink()), loadLanguage(preferredLanguages())]);
  showLanguageSwitch();
  await openView();
  unloaded.remove();
} catch (error) {
  unloaded.hidden = false; // a module could not be loaded
  throw error;
}

/**
 * @param {ReturnType<typeof readLink>} link
 * @returns {Promise<() => void | Promise<void>>} opens the view, which needs the texts of the page
 */
async function loadView(link) {
  const lack = !isSecureContext ? "insecure" : !("RTCPeerConnection" in globalThis) ? "fail.no_webrtc" : null;
  if (!lack && link === "none") return (await import("./share-view.js")).openShareView;
  if (!lack && typeof link === "object") {
    const { openReceiveView } = await import("./receive-view.js");
    return () => openReceiveView(link);
  }
  const { openUnableView } = await import("./unable-view.js");
  const cause = lack ?? /** @type {Exclude<typeof link, object | "none">} */ (link);
  return () => openUnableView(cause);
}
