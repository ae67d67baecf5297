/** Computes the SHA-256 of a file in a worker, so that the page stays responsive. */

/**
 * @param {Blob} file
 * @returns {Promise<string>} 64 lower-case hexadecimal digits
 * @throws {Error} the file cannot be read
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
