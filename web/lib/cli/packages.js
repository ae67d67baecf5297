/** Loads the packages that the command needs beside the library. Browsers need none of them. */

import { CliError } from "./messages.js";
import { webRtcOf } from "./node-webrtc.js";

const WEBRTC = "@roamhq/wrtc";
/** Only before version 22 of Node.js. */
const WEBSOCKET = "ws";

/**
 * @returns {Promise<{WebSocket: any, createConnection: (config: RTCConfiguration) => RTCPeerConnection}>}
 * @throws {CliError} a package is not installed, or does not support this computer
 */
export async function loadPackages() {
  /** @type {string[]} */
  const missing = [];
  const load = (/** @type {string} */ name) => import(name).then(({ default: value }) => value, (error) => {
    if (error?.code !== "ERR_MODULE_NOT_FOUND") throw new CliError(`The package ${name} does not work on this computer (${process.platform}, ${process.arch}): ${firstLine(error)}`);
    missing.push(name);
  });
  const [wrtc, WebSocket] = await Promise.all([load(WEBRTC), globalThis.WebSocket ?? load(WEBSOCKET)]);
  if (missing.length > 0) throw new CliError(`To transfer files, install what is missing beside handclasp: npm install ${missing.sort().join(" ")} (with -g, if handclasp was installed so).`);
  return { WebSocket, createConnection: webRtcOf(wrtc) };
}

/** @param {any} error */
function firstLine(error) {
  return String(error?.message ?? error).split("\n", 1)[0];
}
