/**
 * The SHA-256 of a whole file, however large, without holding it in memory and, where
 * there are workers, without keeping the page busy.
 */

import { Sha256 } from "../util/sha256.js";

const STEP_BYTES = 1024 * 1024;

/**
 * Reads the file once, on the thread that calls it.
 *
 * @param {Blob} file
 * @returns {Promise<string>} 64 lower-case hexadecimal digits
 */
export async function digest(file) {
  const hash = new Sha256();
  for (let at = 0; at < file.size; at += STEP_BYTES) {
    hash.update(new Uint8Array(await file.slice(at, at + STEP_BYTES).arrayBuffer()));
  }
  return hash.digest();
}

/**
 * The same in a worker of its own.
 *
 * @param {Blob} file
 * @returns {Promise<string>}
 * @throws {Error} when the file cannot be read
 */
export function digestInWorker(file) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./digest-worker.js", import.meta.url), { type: "module" });
    /** @param {() => void} settle */
    const finish = (settle) => {
      worker.terminate();
      settle();
    };
    worker.onmessage = ({ data }) => {
      if (data.sha256) finish(() => resolve(data.sha256));
      else finish(() => reject(new Error(`file cannot be hashed: ${data.error}`)));
    };
    worker.onerror = ({ message }) => finish(() => reject(new Error(`hash worker failed: ${message}`)));
    worker.postMessage(file);
  });
}
