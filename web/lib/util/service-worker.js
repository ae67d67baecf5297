/** Starts a service worker that a page talks to, without being controlled by it. */

/**
 * @param {string} url
 * @param {string} scope
 * @returns {Promise<ServiceWorker | null>} when it is active; null if it cannot start
 */
export async function startServiceWorker(url, scope) {
  const registration = await navigator.serviceWorker.register(url, { scope });
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  while (worker && worker.state !== "activated") {
    if (worker.state === "redundant") return null;
    await new Promise((resolve) => worker.addEventListener("statechange", resolve, { once: true }));
  }
  return worker;
}
