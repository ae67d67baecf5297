/** A proxy that gathers what a client sends before it passes it on, as some proxies and mobile networks do. */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * @param {number} port where the broker listens
 * @param {number} pause how long bytes are gathered, in milliseconds
 * @returns {Promise<{ port: number, close: () => void }>}
 */
export async function startGatheringProxy(port, pause) {
  const sockets = new Set();
  const server = createServer((client) => {
    const broker = connect(port, "127.0.0.1");
    gather(client, broker, pause);
    gather(broker, client, pause);
    for (const [socket, other] of [[client, broker], [broker, client]]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => other.destroy());
      socket.on("close", () => (sockets.delete(socket), other.destroy()));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: own } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    port: own,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/**
 * @param {import("node:net").Socket} from
 * @param {import("node:net").Socket} to
 * @param {number} pause
 */
function gather(from, to, pause) {
  /** @type {Buffer[]} */
  let gathered = [];
  from.on("data", (chunk) => {
    gathered.push(chunk);
    if (gathered.length > 1) return;
    setTimeout(() => {
      to.write(Buffer.concat(gathered));
      gathered = [];
    }, pause);
  });
}
