/**
 * One owner for what a tab remembers: a browser that duplicates a tab copies its session storage, and two tabs with
 * one identity would take it from each other.
 */

/** How long the previous page of a reload may keep its lock (ms). */
const LOCK_TIMEOUT = 2_000;
/** How long other tabs have to answer, in browsers without locks (ms). */
const ANSWER_TIMEOUT = 2_000;

/** @type {Set<string>} what this page owns */
const owned = new Set();

/**
 * @param {string} name
 * @returns {Promise<boolean>} whether this page owns the name, until it is closed
 */
export async function acquire(name) {
  if (owned.has(name)) return true;
  const isOwner = await (navigator.locks ? lock(name) : ask(name));
  if (isOwner) owned.add(name);
  return isOwner;
}

/** @param {string} name */
function lock(name) {
  return new Promise((resolve) => {
    const hold = () => {
      resolve(true);
      return new Promise(() => {});
    };
    navigator.locks.request(name, { signal: AbortSignal.timeout(LOCK_TIMEOUT) }, hold).catch(() => resolve(false));
  });
}

/**
 * Without locks: asks the other tabs, and answers their questions from then on.
 *
 * @param {string} name
 */
function ask(name) {
  if (!("BroadcastChannel" in globalThis)) return Promise.resolve(true);
  const channel = new BroadcastChannel(name);
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      channel.onmessage = ({ data }) => data === "whose?" && channel.postMessage("mine");
      resolve(true);
    }, ANSWER_TIMEOUT);
    channel.onmessage = ({ data }) => {
      if (data !== "mine") return;
      clearTimeout(timer);
      channel.close();
      resolve(false);
    };
    channel.postMessage("whose?");
  });
}
