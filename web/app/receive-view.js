/** The receiving view until Connect is pressed. receive-session.js goes on, and is loaded for it. */

import { showClasp } from "./clasp.js";
import { element, showNotice } from "./dom.js";
import { t } from "./i18n.js";
import { removeLanguageSwitch } from "./language-switch.js";
import { showProblem } from "./problem.js";
import { setTabTitle } from "./tab-progress.js";

/** @typedef {import("./receive-session.js").ReceiveSession} ReceiveSession */

/**
 * The page makes no connection before the user presses Connect, unless this tab was reloaded during a
 * download.
 *
 * @param {import("../lib/share/share-link.js").ShareLink} link
 */
export function openReceiveView(link) {
  setTabTitle(t("title.receive"));
  showClasp(element("receive-clasp", HTMLElement), "idle");
  const form = element("connect-form", HTMLFormElement);
  const button = element("connect", HTMLButtonElement);
  const state = element("receive-state", HTMLElement);
  const downloadItem = `handclasp.take.${link.peerId}`;
  let session = /** @type {Promise<ReceiveSession> | null} */ (null);
  const load = () => (session ??= loadSession(link, downloadItem));
  const connect = async () => {
    button.disabled = true;
    removeLanguageSwitch();
    try {
      showNotice(state, t("state.joining"), "plain-line");
      await (await load()).connect();
    } catch (error) {
      showNotice(state, "", "neutral");
      showProblem(element("receive-error", HTMLElement), error);
      button.hidden = true; // a module that could not be loaded: only a reload helps
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void connect();
  });
  // Somebody who points at the button is about to press it.
  for (const sign of ["pointerover", "focusin"]) form.addEventListener(sign, () => load().catch(() => {}), { once: true });
  addEventListener("pagehide", async () => (await session?.catch(() => null))?.disconnect());
  element("password-needed", HTMLElement).hidden = !link.hasPassword;
  element("receive", HTMLElement).hidden = false;
  if (sessionStorage.getItem(downloadItem) && !link.hasPassword) void connect();
}

/**
 * @param {import("../lib/share/share-link.js").ShareLink} link
 * @param {string} downloadItem
 */
async function loadSession(link, downloadItem) {
  const { ReceiveSession } = await import("./receive-session.js");
  return new ReceiveSession(link, downloadItem);
}
