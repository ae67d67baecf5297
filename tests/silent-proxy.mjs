/** A TCP proxy that can stop passing bytes without closing anything, as a network does that is gone without a word. */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * @param {number} port of the server on this machine
 * @returns {Promise<{url: string, fallSilent: () => void, close: () => void}>} `fallSilent` stops all connections
 *   that are open now; later ones work
 */
export async function startSilentProxy(port) {
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      sockets.add(socket);
      socket.pipe(other);
      socket.on("error", () => other.destroy());
      socket.on("close", () => sockets.delete(socket) && other.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: ownPort } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${ownPort}/`,
    fallSilent() {
      for (const socket of sockets) socket.unpipe().pause();
      sockets.clear(); // what the ends close now is not passed on either
    },
    close: () => void server.close(),
  };
}
