/** The worker of digest-in-worker.js: receives a file and answers `{sha256}` or `{error}`. */

import { digestFile } from "./file-digest.js";

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ sha256: await digestFile(data) });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
