/** Connects a command to a broker, as a peer of its own. */

import { Socket } from "../channels/socket.js";
import { createIdentity } from "../rtc/identity.js";
import { Peer, joinWithRetry } from "../rtc/peer.js";
import { CliError } from "./messages.js";
import { loadWebRtc } from "./node-webrtc.js";
import { printStatus } from "./terminal.js";

/**
 * @param {URL} page the broker's, with a slash at the end
 * @returns {Promise<{peer: Peer, join: () => Promise<void>, close: () => void}>}
 * @throws {CliError} a package has to be installed
 */
export async function openPeer(page) {
  const transport = await loadWebSocket();
  const createConnection = await loadWebRtc();
  const socket = new Socket(new URL("socket", page).href, { transport });
  reportOutages(socket, page);
  const peer = new Peer(socket, await createIdentity(), { createConnection });
  return {
    peer,
    join: () => joinWithRetry(peer),
    close() {
      peer.close();
      socket.disconnect();
    },
  };
}

/** @returns {Promise<any>} */
async function loadWebSocket() {
  if (globalThis.WebSocket) return globalThis.WebSocket;
  const name = "ws";
  const { default: WebSocket } = await import(name).catch(() => {
    throw new CliError(
      `This version of Node.js (${process.version}) has no WebSocket: use version 22 or later, or install the package ws beside handclasp (npm install ws).`,
    );
  });
  return WebSocket;
}

/**
 * Prints one line for each outage, however many attempts it takes.
 *
 * @param {Socket} socket
 * @param {URL} page
 */
function reportOutages(socket, page) {
  let isReported = false;
  socket.on("open", () => {
    if (isReported) printStatus("The broker is reachable again.");
    isReported = false;
  });
  socket.on("waiting", () => {
    if (!isReported) printStatus(`The broker at ${page} cannot be reached. Check the address and your network. Retrying until it answers.`);
    isReported = true;
  });
}
