/**
 * The worker of opfs-target.js: only a worker can write to the private file system in place. Calls are
 * answered in order with `{value}` or `{error, name}`.
 */

/**
 * A FileSystemSyncAccessHandle, which exists only in workers and so is not in TypeScript's `dom` library.
 *
 * @typedef {object} SyncAccessHandle
 * @property {(bytes: Uint8Array, options: {at: number}) => number} read
 * @property {(bytes: Uint8Array, options: {at: number}) => number} write
 * @property {() => number} getSize
 * @property {(size: number) => void} truncate
 * @property {() => void} flush
 * @property {() => void} close
 */

/** After a reload the previous page may hold the file for a moment (delay in ms). */
const RETRY = { delay: 100, times: 20 };

/** @type {Map<string, SyncAccessHandle>} */
const files = new Map();
let queue = Promise.resolve();

self.onmessage = ({ data }) => {
  queue = queue.then(async () => {
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
async function run({ method, folder, name, size, at, bytes, length }) {
  if (method === "open") return open(folder, name, size);
  if (method === "read") return read(name, at, length);
  if (method === "write") return write(name, at, bytes);
  files.get(name)?.close();
  files.delete(name);
  if (method === "remove") await (await openFolder(folder)).removeEntry(name);
}

/**
 * @param {string} folder
 * @param {string} name
 * @param {number} size that it will have
 * @returns {Promise<number>} stored bytes
 */
async function open(folder, name, size) {
  const handle = await (await openFolder(folder)).getFileHandle(name, { create: true });
  const file = await createAccessHandle(handle, RETRY.times);
  files.set(name, file);
  if (file.getSize() > size) file.truncate(size);
  return file.getSize();
}

/**
 * @param {FileSystemFileHandle} handle
 * @param {number} retries
 * @returns {Promise<SyncAccessHandle>}
 */
async function createAccessHandle(handle, retries) {
  try {
    return await /** @type {any} */ (handle).createSyncAccessHandle();
  } catch (error) {
    if (retries === 0) throw error;
    await new Promise((resolve) => setTimeout(resolve, RETRY.delay));
    return createAccessHandle(handle, retries - 1);
  }
}

/**
 * @param {string} name
 * @param {number} at
 * @param {number} length
 */
function read(name, at, length) {
  const bytes = new Uint8Array(length);
  const count = openFile(name).read(bytes, { at });
  if (count !== length) throw new Error(`${count} of ${length} bytes could be read`);
  return bytes;
}

/**
 * @param {string} name
 * @param {number} at
 * @param {Uint8Array} bytes
 * @returns {Uint8Array} the same, so that the page can reuse the buffer
 */
function write(name, at, bytes) {
  const file = openFile(name);
  const count = file.write(bytes, { at });
  // On a full disk `write` stores fewer bytes and does not throw.
  if (count !== bytes.length) throw new Error(`${count} of ${bytes.length} bytes could be written`);
  file.flush();
  return bytes;
}

/** @param {string} name */
function openFile(name) {
  const file = files.get(name);
  if (!file) throw new Error("file is not open");
  return file;
}

/** @param {string} folder */
async function openFolder(folder) {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(folder, { create: true });
}

export {}; // a module, so that its names are local
