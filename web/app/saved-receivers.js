/** The receivers that a sharer's tab has seen, so that their numbers and their progress survive a reload. */

/** @typedef {import("../lib/share/remote-receiver.js").ReceiverRecord} ReceiverRecord */
/** @typedef {ReceiverRecord & {number: number}} SavedReceiver number: in its name on the page */

/** @param {string} shareId */
const itemOf = (shareId) => `handclasp.receivers.${shareId}`;

/**
 * @param {string} shareId
 * @returns {SavedReceiver[]}
 */
export function loadReceivers(shareId) {
  return JSON.parse(sessionStorage.getItem(itemOf(shareId)) ?? "[]");
}

/**
 * @param {string} shareId
 * @param {SavedReceiver[]} receivers
 */
export function saveReceivers(shareId, receivers) {
  const records = receivers.map(({ peerId, number, state, written, total, failed }) => ({ peerId, number, state, written, total, failed }));
  sessionStorage.setItem(itemOf(shareId), JSON.stringify(records));
}

/** @param {string} shareId */
export function forgetReceivers(shareId) {
  sessionStorage.removeItem(itemOf(shareId));
}
