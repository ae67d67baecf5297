/** The entry point of the developers' page: shows what this broker serves, and opens the tools for what it has. */

import { openConsole } from "./console.js";
import { element, showNotice } from "./dom.js";
import { fillTable } from "./endpoint-table.js";
import { find, loadEndpoints, webSocketUrl } from "./endpoints.js";
import { openHandshake } from "./handshake-view.js";
import { openIceCheck } from "./ice-view.js";
import { showSnippets } from "./snippet-tabs.js";
import { snippetsFor } from "./snippets.js";

/** The sections that need a Phoenix endpoint. */
const TOOLS = ["console", "handshake", "ice"];

try {
  open(await loadEndpoints());
  element("page-state", HTMLElement).hidden = true;
} catch {
  showNotice(element("page-state", HTMLElement), "The broker did not say what it serves. Reload the page.", "bad");
}

/** @param {import("./endpoints.js").Endpoint[]} endpoints */
function open(endpoints) {
  fillTable(element("endpoints-body", HTMLElement), endpoints);
  showSnippets(element("snippet-place", HTMLElement), snippetsFor(endpoints));
  element("sections", HTMLElement).hidden = false;
  const phoenix = find(endpoints, "phoenix");
  if (!phoenix) return TOOLS.forEach(hideSection);
  const url = webSocketUrl(phoenix.path);
  openConsole(url);
  const obstacle = obstacleToPeers();
  if (obstacle) {
    for (const [button, state] of [["shake", "shake-state"], ["check-ice", "ice-state"]]) {
      element(button, HTMLButtonElement).disabled = true;
      showNotice(element(state, HTMLElement), obstacle, "bad");
    }
    return;
  }
  openHandshake(url);
  openIceCheck(url);
}

/** @returns {string} why this page cannot have peers; empty: it can */
function obstacleToPeers() {
  if (!isSecureContext) return "A browser gives hashes, which peers need, only to pages with https and to those of this device. Open this page by https, or as localhost.";
  if ("RTCPeerConnection" in globalThis) return "";
  return "WebRTC is switched off in this browser, by a setting or by an extension. Switch it on, then reload the page.";
}

/** @param {string} id of a section without which the page goes on */
function hideSection(id) {
  element(id, HTMLElement).hidden = true;
  for (const link of document.querySelectorAll(`nav a[href="#${id}"]`)) link.remove();
}
