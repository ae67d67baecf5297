/** Says that a server without STUN and TURN servers connects browsers of one network only, before anybody waits for it. */

import { element, showText } from "./dom.js";
import { t } from "./i18n.js";

/**
 * @param {string} id of the note
 * @param {{ice_servers?: RTCIceServer[]}} reply to the join of the peer
 */
export function showReach(id, { ice_servers }) {
  showText(element(id, HTMLElement), ice_servers?.length ? "" : t("same_network"));
}
