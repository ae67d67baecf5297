/** What happens to a share as a whole, above its link: a sentence, the clasp, and the progress of all receivers together. */

import { showClasp } from "./clasp.js";
import { element, showText } from "./dom.js";
import { percent, t } from "./i18n.js";
import { showTabProgress } from "./tab-progress.js";

/** @typedef {import("../lib/share/remote-receiver.js").RemoteReceiver} RemoteReceiver */
/** @typedef {import("./clasp.js").ClaspState} ClaspState */
/** @typedef {"ready" | "reconnecting" | "lost" | "closed"} Reach whether receivers find this page at the server; closed: the
 *   link was used or has expired */

/**
 * @param {RemoteReceiver[]} receivers
 * @param {Reach} reach
 * @returns {boolean} whether something is being sent
 */
export function showShareStatus(receivers, reach) {
  const active = receivers.filter(({ state }) => state === "downloading");
  const isSending = active.length > 0;
  const [clasp, text] = statusOf(receivers, isSending, reach);
  showClasp(element("share-clasp", HTMLElement), clasp);
  showText(element("share-status", HTMLElement), text);
  const sum = (/** @type {"written" | "total"} */ figure) => active.reduce((bytes, receiver) => bytes + receiver[figure], 0);
  const [written, total] = [sum("written"), sum("total")];
  element("share-progress", HTMLElement).hidden = !isSending;
  element("share-bar", HTMLProgressElement).value = written / Math.max(1, total);
  element("share-percent", HTMLElement).textContent = `${percent(written, total)} %`;
  showTabProgress(isSending ? written / Math.max(1, total) : null);
  return isSending;
}

/**
 * @param {RemoteReceiver[]} receivers
 * @param {boolean} isSending
 * @param {Reach} reach
 * @returns {[ClaspState, string]}
 */
function statusOf(receivers, isSending, reach) {
  if (isSending) return ["connected", t("sharing.sending")];
  const connected = receivers.filter(({ isConnected }) => isConnected);
  if (connected.some(({ state }) => state !== "done")) return ["connected", t("sharing.connected")];
  const isComplete = receivers.some(({ state, failed }) => state === "done" && failed === 0);
  if (isComplete) return [connected.length > 0 ? "connected" : "waiting", t("sharing.done")];
  if (reach === "closed") return ["idle", ""];
  // Beside the link it says why nobody can open it.
  if (reach !== "ready") return [reach === "lost" ? "failed" : "connecting", ""];
  return ["waiting", t("sharing.waiting")];
}
