/** A notification at the end of a transfer, for a person who looks at something else meanwhile. */

import { startWorker } from "./background.js";
import { announce, element } from "./dom.js";
import { t } from "./i18n.js";

/**
 * The button appears where the browser would ask for the permission, and asks when it is pressed.
 *
 * @param {string} id of the button, beside the progress
 */
export function offerNotification(id) {
  const button = element(id, HTMLButtonElement);
  const state = permission();
  button.hidden = state !== "default";
  if (state === "granted") void startWorker().catch(() => {}); // so that it runs at the end
  button.onclick = async () => {
    const answer = await Notification.requestPermission();
    button.hidden = answer === "denied";
    if (answer !== "granted") return;
    button.disabled = true;
    button.textContent = t("notify_on");
    announce(t("notify_on"));
    void startWorker().catch(() => {});
  };
}

/**
 * @param {string} text for a screen that others see, too: without the names of files
 */
export async function notify(text) {
  if (!document.hidden || permission() !== "granted") return;
  try {
    (await startWorker())?.postMessage({ title: "Handclasp", text });
  } catch {
    // The page itself says the same.
  }
}

/** @returns {NotificationPermission} denied, too, where there are none: phones have them only through a service worker */
function permission() {
  return "Notification" in globalThis && "serviceWorker" in navigator ? Notification.permission : "denied";
}
