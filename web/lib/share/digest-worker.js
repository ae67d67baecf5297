/** The worker of digest.js: gets one file, answers `{sha256}` or `{error}`. */

import { digest } from "./file-digest.js";

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ sha256: await digest(data) });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
