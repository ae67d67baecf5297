/** The app's service worker, app-worker.js beside the page, for the installed app and for notifications. */

/** The share target's path in app.webmanifest. The worker controls no page. */
const SCOPE = "shared/";

/** @returns {Promise<ServiceWorkerRegistration>} */
export function registerWorker() {
  return navigator.serviceWorker.register("app-worker.js", { scope: SCOPE });
}

/** Only an installed app is in the list to which other apps share. A page in a tab needs no worker for it. */
export function prepareShareTarget() {
  if (!("serviceWorker" in navigator)) return;
  // Without the worker, the server answers the share target, and leads to the page.
  const register = () => void registerWorker().catch(() => {});
  const isApp = matchMedia("(display-mode: standalone)");
  if (isApp.matches) register();
  isApp.addEventListener("change", register);
  addEventListener("appinstalled", register);
}
