/**
 * What the tab of a sharer stores, so that its link stays the same after a reload: the secret of its id,
 * the keys, the certificate of its connections and, where the browser supports them, handles of the files.
 */

/** @typedef {import("./file-handles.js").Handle} Handle */

import { acquire } from "./tab-lock.js";

const DATABASE = "handclasp";
const STORE = "shares";
/** The session storage item with the database key of this tab's share. */
const TAB_ITEM = "handclasp.share";
/** Shares that were not opened again for this long are deleted (ms). */
const MAX_AGE = 30 * 24 * 60 * 60 * 1_000;
/** A page deletes them once, after its first successful save. */
let areOldSharesDeleted = false;

/**
 * @typedef {object} SavedShare
 * @property {string} secret of the id
 * @property {Uint8Array<ArrayBuffer>} linkKey the key in the link
 * @property {Uint8Array<ArrayBuffer> | null} passwordKey derived from the password; null if there is none
 * @property {RTCCertificate} certificate
 * @property {import("./link-limits.js").SavedLimits} limits older versions saved none
 * @property {string[]} names of the shared files, with their folders
 * @property {Handle[]} handles of files and folders
 * @property {number} savedAt
 */

/** @returns {Promise<SavedShare | null>} this tab's share before it was reloaded */
export async function loadShare() {
  const id = sessionStorage.getItem(TAB_ITEM);
  if (!id) return null;
  if (!(await acquire(lockName(id)))) {
    sessionStorage.removeItem(TAB_ITEM); // this tab is a copy: the share stays with the first one
    return null;
  }
  try {
    const share = await run("readonly", (store) => store.get(id));
    // A share of an older version had its password elsewhere, and must not lose it: a new share starts.
    return share?.passwordKey === undefined ? null : share;
  } catch {
    return null; // private windows of some browsers have no database: a new share starts
  }
}

/** @param {Omit<SavedShare, "savedAt">} share */
export async function saveShare(share) {
  const id = sessionStorage.getItem(TAB_ITEM) ?? crypto.randomUUID();
  sessionStorage.setItem(TAB_ITEM, id);
  void acquire(lockName(id));
  try {
    await run("readwrite", (store) => store.put({ ...share, savedAt: Date.now() }, id));
    if (areOldSharesDeleted) return;
    areOldSharesDeleted = true;
    await deleteOldShares();
  } catch {
    // Without a database the link is valid until the page is closed or reloaded.
  }
}

/** Deletes this tab's share. Its link never works again. */
export async function deleteShare() {
  const id = sessionStorage.getItem(TAB_ITEM);
  sessionStorage.removeItem(TAB_ITEM);
  if (id) await run("readwrite", (store) => store.delete(id)).catch(() => {});
}

/** @param {string} id of a tab's share */
function lockName(id) {
  return `${TAB_ITEM}/${id}`;
}

async function deleteOldShares() {
  const keys = await run("readonly", (store) => store.getAllKeys());
  for (const key of keys) {
    const share = await run("readonly", (store) => store.get(key));
    if (share && Date.now() - share.savedAt > MAX_AGE) await run("readwrite", (store) => store.delete(key));
  }
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<T>}
 */
async function run(mode, work) {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await toPromise(opening);
  try {
    return await toPromise(work(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function toPromise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
