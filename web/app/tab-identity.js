/** Who this tab is at the broker: the same over its reloads, so that the sender sees one receiver, and not two. */

import { createIdentity, restoreIdentity } from "../lib/rtc/identity.js";

const KEPT = "handclasp.receiver";
/** How long a page that is being reloaded may hold on to its identity (ms). */
const RELOAD = 2_000;

/** @returns {Promise<import("../lib/rtc/identity.js").Identity>} that no other tab has */
export async function tabIdentity() {
  const kept = sessionStorage.getItem(KEPT);
  if (kept) {
    const identity = await restoreIdentity(kept);
    if (await isOurs(identity)) return identity;
  }
  // There is none, or this tab was duplicated: two with the same would throw each other out.
  const fresh = await createIdentity();
  sessionStorage.setItem(KEPT, fresh.secret);
  await isOurs(fresh);
  return fresh;
}

/** @type {Set<string>} */
const ours = new Set();

/**
 * @param {import("../lib/rtc/identity.js").Identity} identity
 * @returns {Promise<boolean>} true from then on, for as long as the page lives
 */
function isOurs({ peerId }) {
  if (!navigator.locks || ours.has(peerId)) return Promise.resolve(true);
  const hold = (/** @type {(value: boolean) => void} */ resolve) => () => {
    ours.add(peerId);
    resolve(true);
    return new Promise(() => {});
  };
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(RELOAD);
    navigator.locks.request(`${KEPT}/${peerId}`, { signal }, hold(resolve)).catch(() => resolve(false));
  });
}
