/** The official clients, each with promises of what a token makes of its connection. */

import wrtc from "@roamhq/wrtc";
import { io } from "socket.io-client";
import io1 from "socket.io-client-1";
import io2 from "socket.io-client-2";
import WebSocket from "ws";
import { CLIENTS, disconnect } from "./phoenix-clients.mjs";

// the client of PeerJS expects a browser, and needs only this of it
const { Peer } = await (async () => {
  Object.assign(globalThis, wrtc, { WebSocket, location: { protocol: "http:" } });
  return (await import("peerjs")).default;
})();

const { Socket, LongPoll } = CLIENTS["1.8"];
export { LongPoll };

/** The versions of the client of Socket.IO. */
export const VERSIONS = { "4.x": io, "2.x": io2, "1.x": io1 };

/**
 * @param {import("../broker.mjs").Broker} broker
 * @returns functions that make clients of it, and one that ends all clients so far
 */
export function clientsOf(broker) {
  /** @type {(() => void)[]} */
  const ends = [];
  return {
    /** A client, and promises of how its connection ends. */
    phoenix(options) {
      const socket = new Socket(broker.socketUrl("socket"), { transport: WebSocket, ...options });
      const closed = new Promise((resolve) => socket.onClose((event) => resolve(event)));
      const failed = new Promise((resolve) => socket.onError((error) => resolve(error)));
      ends.push(() => disconnect(socket));
      socket.connect();
      return { socket, closed, failed };
    },

    socketio(version, options = {}, namespace = "") {
      const socket = VERSIONS[version](broker.url + namespace, { forceNew: true, ...options });
      ends.push(() => socket.removeAllListeners().close());
      const refused = new Promise((resolve) => {
        socket.on(version === "4.x" ? "connect_error" : "error", (error) => resolve(error.message ?? error));
      });
      const connected = new Promise((resolve, reject) => {
        socket.on("connect", () => resolve(socket));
        refused.then((why) => reject(new Error(why)));
      });
      connected.catch(() => {});
      return { socket, connected, refused };
    },

    peerjs(id, token) {
      const peer = new Peer(id, { host: "127.0.0.1", port: broker.port, path: "/", ...(token && { token }) });
      ends.push(() => peer.destroy());
      const open = new Promise((resolve) => peer.on("open", resolve));
      const refused = new Promise((resolve) => peer.on("error", (error) => resolve(error.message)));
      const disconnected = new Promise((resolve) => peer.on("disconnected", resolve));
      return { peer, open, refused, disconnected };
    },

    /** Ends all clients. */
    end() {
      for (const end of ends.splice(0)) end();
    },
  };
}
