/**
 * What a sharer's tab remembers over a reload, so that its link stays the same: the id's
 * secret, the link's key, the certificate of its connections, and where the browser has such,
 * handles of the files, which it may give back. A tab knows which keepsake is its own.
 */

const DATABASE = "handclasp";
const STORE = "shares";
const TAB = "handclasp.share";
/** A share nobody came back to (ms). */
const KEPT = 30 * 24 * 60 * 60 * 1_000;

/**
 * @typedef {object} Keepsake
 * @property {string} secret of the id
 * @property {Uint8Array<ArrayBuffer>} key of the link
 * @property {Uint8Array<ArrayBuffer>} proof the key with the password worked in, or the same
 * @property {RTCCertificate} certificate
 * @property {string[]} names of files on offer, with their folders
 * @property {import("./file-handles.js").Handle[]} handles of files, and of folders that they are in
 * @property {number} at when it was written
 */

/** @returns {Promise<Keepsake | null>} what this tab had before it was reloaded */
export async function recall() {
  const id = sessionStorage.getItem(TAB);
  if (!id) return null;
  try {
    return (await run("readonly", (store) => store.get(id))) ?? null;
  } catch {
    return null; // private windows of some browsers have no database: the share begins anew
  }
}

/** @param {Omit<Keepsake, "at">} keepsake */
export async function remember(keepsake) {
  const id = sessionStorage.getItem(TAB) ?? crypto.randomUUID();
  sessionStorage.setItem(TAB, id);
  try {
    await run("readwrite", (store) => store.put({ ...keepsake, at: Date.now() }, id));
    await sweep();
  } catch {
    // Without a database the link ends with the page, as the page says of all links.
  }
}

/** The share is over: its link shall never work again. */
export async function forget() {
  const id = sessionStorage.getItem(TAB);
  sessionStorage.removeItem(TAB);
  if (id) await run("readwrite", (store) => store.delete(id)).catch(() => {});
}

async function sweep() {
  const keys = await run("readonly", (store) => store.getAllKeys());
  for (const key of keys) {
    const keepsake = await run("readonly", (store) => store.get(key));
    if (keepsake && Date.now() - keepsake.at > KEPT) await run("readwrite", (store) => store.delete(key));
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
  const database = await settled(opening);
  try {
    return await settled(work(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
