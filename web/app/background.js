/** The app's service worker, app-worker.js beside the page, for the installed app and for notifications. */

import { startServiceWorker } from "../lib/util/service-worker.js";

/** The share target's path in app.webmanifest. The worker controls no page. */
const SCOPE = "shared/";

/** @returns {Promise<ServiceWorker | null>} */
export function startWorker() {
  return startServiceWorker("app-worker.js", SCOPE);
}

/** Only an installed app is in the list to which other apps share. A page in a tab needs no worker for it. */
export function prepareShareTarget() {
  if (!("serviceWorker" in navigator)) return;
  // Without the worker, the server answers the share target, and leads to the page.
  const start = () => void startWorker().catch(() => {});
  const isApp = matchMedia("(display-mode: standalone)");
  if (isApp.matches) start();
  isApp.addEventListener("change", start);
  addEventListener("appinstalled", start);
}
