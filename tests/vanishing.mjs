/** A proxy whose clients can lose their network: from then on nothing passes, and no connection closes. */

import { once } from "node:events";
import { connect, createServer } from "node:net";
import { SECURE } from "./broker.mjs";

/**
 * @typedef {object} Network
 * @property {number} port where its clients connect
 * @property {(mount: string) => string} socketUrl `ws://host:port/<mount>`, or `wss:`
 * @property {() => void} vanish
 * @property {() => void} close
 */

/**
 * @param {number} port where the server listens
 * @returns {Promise<Network>}
 */
export async function startNetwork(port) {
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  const proxy = createServer((client) => {
    const server = connect(port, "127.0.0.1");
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket)).on("error", () => {});
    }
    client.pipe(server).pipe(client);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const own = /** @type {import("node:net").AddressInfo} */ (proxy.address()).port;
  return {
    port: own,
    socketUrl: (mount) => `ws${SECURE}://127.0.0.1:${own}/${mount}`,
    vanish() {
      for (const socket of sockets) socket.unpipe().pause();
    },
    close() {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
