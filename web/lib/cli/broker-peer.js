/** The way to a broker: a peer of our own that has joined there. What it is for is get.js's and send.js's. */

import { createIdentity } from "../rtc/identity.js";
import { Peer, joinPatiently } from "../rtc/peer.js";
import { Socket } from "../channels/socket.js";
import { loadWebRtc } from "./node-webrtc.js";
import { say } from "./terminal.js";
import { Complaint } from "./messages.js";

/**
 * @param {string} origin of the broker's page
 * @returns {Promise<{peer: Peer, join: () => Promise<void>, leave: () => void}>}
 * @throws {Complaint} something has to be installed
 */
export async function openPeer(origin) {
  const transport = await loadWebSocket();
  const createConnection = await loadWebRtc();
  const socket = new Socket(new URL("/socket", origin).href, { transport });
  tellTrouble(socket, origin);
  const peer = new Peer(socket, await createIdentity(), { createConnection });
  return {
    peer,
    join: () => joinPatiently(peer),
    leave() {
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
    throw new Complaint(
      `This node (${process.version}) has no WebSocket: use node 22 or later, or install the package ws beside handclasp (npm install ws).`,
    );
  });
  return WebSocket;
}

/**
 * Once for each time that it goes wrong, however many tries that takes.
 *
 * @param {Socket} socket
 * @param {string} origin
 */
function tellTrouble(socket, origin) {
  let isTold = false;
  socket.on("open", () => {
    if (isTold) say("The broker is there again.");
    isTold = false;
  });
  socket.on("waiting", () => {
    if (!isTold) say(`The broker at ${origin} cannot be reached: is this computer online, and the address right? Trying again until it answers.`);
    isTold = true;
  });
}
