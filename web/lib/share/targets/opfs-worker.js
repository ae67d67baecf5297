/**
 * The worker of disk.js: the only place where a browser writes to its private files in
 * place. Calls are answered in their order: `{value}` or `{error, name}`.
 */

/**
 * What TypeScript's `dom` does not know, since only workers have it.
 *
 * @typedef {object} SyncAccess
 * @property {(bytes: Uint8Array, options: {at: number}) => number} read
 * @property {(bytes: Uint8Array, options: {at: number}) => number} write
 * @property {() => number} getSize
 * @property {(size: number) => void} truncate
 * @property {() => void} flush
 * @property {() => void} close
 */

/** A page that was just reloaded may hold the file for a moment longer (ms, times). */
const RETRY = { delay: 100, times: 20 };

/** @type {Map<string, SyncAccess>} */
const files = new Map();
let work = Promise.resolve();

self.onmessage = ({ data }) => {
  work = work.then(async () => {
    try {
      const value = await run(data);
      self.postMessage({ value }, { transfer: value instanceof Uint8Array ? [value.buffer] : [] });
    } catch (error) {
      const { message, name } = /** @type {Error} */ (error);
      self.postMessage({ error: message, name });
    }
  });
};

/** @param {any} call @returns {Promise<any>} */
async function run({ what, folder, name, size, at, bytes, length }) {
  if (what === "open") return open(folder, name, size);
  if (what === "read") return read(name, at, length);
  if (what === "write") return write(name, at, bytes);
  files.get(name)?.close();
  files.delete(name);
  if (what === "remove") await (await openFolder(folder)).removeEntry(name);
}

/**
 * @param {string} folder
 * @param {string} name
 * @param {number} size it will have
 * @returns {Promise<number>} bytes that are there
 */
async function open(folder, name, size) {
  const handle = await (await openFolder(folder)).getFileHandle(name, { create: true });
  const file = await access(handle, RETRY.times);
  files.set(name, file);
  if (file.getSize() > size) file.truncate(size);
  return file.getSize();
}

/**
 * @param {FileSystemFileHandle} handle
 * @param {number} tries
 * @returns {Promise<SyncAccess>}
 */
async function access(handle, tries) {
  try {
    return await /** @type {any} */ (handle).createSyncAccessHandle();
  } catch (error) {
    if (tries === 0) throw error;
    await new Promise((resolve) => setTimeout(resolve, RETRY.delay));
    return access(handle, tries - 1);
  }
}

/**
 * @param {string} name
 * @param {number} at
 * @param {number} length
 */
function read(name, at, length) {
  const bytes = new Uint8Array(length);
  const count = opened(name).read(bytes, { at });
  if (count !== length) throw new Error(`${count} of ${length} bytes could be read`);
  return bytes;
}

/**
 * @param {string} name
 * @param {number} at
 * @param {Uint8Array} bytes
 * @returns {Uint8Array} the same, which go back to the page
 */
function write(name, at, bytes) {
  const file = opened(name);
  const count = file.write(bytes, { at });
  // A full disk takes less than it was given, and says nothing.
  if (count !== bytes.length) throw new Error(`${count} of ${bytes.length} bytes could be written`);
  file.flush();
  return bytes;
}

/** @param {string} name */
function opened(name) {
  const file = files.get(name);
  if (!file) throw new Error("file is not open");
  return file;
}

/** @param {string} folder */
async function openFolder(folder) {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(folder, { create: true });
}

export {}; // a module, so that its names are its own
