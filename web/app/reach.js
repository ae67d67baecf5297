/** Says that a server without STUN and TURN servers connects browsers of one network only, before anybody waits for it. */

import { element, showText } from "./dom.js";
import { t } from "./i18n.js";

/**
 * @param {string} id of the note
 * @param {import("../lib/rtc/peer.js").Welcome} welcome
 */
export function showReach(id, { iceServers }) {
  showText(element(id, HTMLElement), iceServers.length > 0 ? "" : t("same_network"));
}
