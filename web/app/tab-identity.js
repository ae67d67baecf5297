/** The identity of a receiving tab. It is kept across reloads, so that the sender sees one receiver. */

import { createIdentity, restoreIdentity } from "../lib/rtc/identity.js";

/** The session storage item with the secret. */
const ITEM = "handclasp.receiver";
/** How long the previous page of a reload may keep its lock (ms). */
const LOCK_TIMEOUT = 2_000;

/** @returns {Promise<import("../lib/rtc/identity.js").Identity>} that no other tab uses */
export async function tabIdentity() {
  const secret = sessionStorage.getItem(ITEM);
  if (secret) {
    const identity = await restoreIdentity(secret);
    if (await acquire(identity)) return identity;
  }
  // There is none yet, or this tab was duplicated: two tabs with one id would disconnect each other.
  const identity = await createIdentity();
  sessionStorage.setItem(ITEM, identity.secret);
  await acquire(identity);
  return identity;
}

/** @type {Set<string>} ids that this page has locked */
const acquired = new Set();

/**
 * @param {import("../lib/rtc/identity.js").Identity} identity
 * @returns {Promise<boolean>} whether this page holds the lock of the id, until it is closed
 */
function acquire({ peerId }) {
  if (!navigator.locks || acquired.has(peerId)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const hold = () => {
      acquired.add(peerId);
      resolve(true);
      return new Promise(() => {});
    };
    const signal = AbortSignal.timeout(LOCK_TIMEOUT);
    navigator.locks.request(`${ITEM}/${peerId}`, { signal }, hold).catch(() => resolve(false));
  });
}
