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
 * Without locks: asks the other tabs, and answers their questions from then on. Of two tabs that ask at the same time,
 * the one that began first is the owner.
 *
 * @param {string} name
 */
function ask(name) {
  if (!("BroadcastChannel" in globalThis)) return Promise.resolve(true);
  const channel = new BroadcastChannel(name);
  const since = Date.now() + Math.random();
  let isOwner = false;
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      isOwner = true;
      resolve(true);
    }, ANSWER_TIMEOUT);
    channel.onmessage = ({ data }) => {
      // A question, or an answer, which may be to another tab's question.
      const isFirst = isOwner || (!data.isOwner && since < data.since);
      if (isFirst && data.isQuestion) channel.postMessage({ since, isOwner });
      if (isFirst) return;
      clearTimeout(timer);
      channel.close();
      resolve(false);
    };
    channel.postMessage({ since, isQuestion: true });
  });
}
