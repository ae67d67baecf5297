/** A proxy that forwards HTTP and breaks WebSockets, as some corporate proxies do. */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * @typedef {object} Blockade
 * @property {string} url its address, with a slash at the end
 * @property {(mount: string) => string} socketUrl `ws://host:port/<mount>`
 * @property {() => number} upgrades how many it has broken
 * @property {() => void} close
 */

/**
 * @param {number} port where the server listens
 * @param {"refuse" | "swallow"} how an upgrade is answered with an error, or not at all
 * @returns {Promise<Blockade>}
 */
export async function startBlockade(port, how) {
  let upgrades = 0;
  const sockets = new Set();
  const proxy = createServer((client) => {
    sockets.add(client);
    client.on("close", () => sockets.delete(client)).on("error", () => {});
    client.once("data", (head) => {
      if (/^upgrade: *websocket/im.test(head.toString("latin1"))) {
        upgrades += 1;
        if (how === "refuse") client.end("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        return;
      }
      const server = connect(port, "127.0.0.1");
      server.on("error", () => client.destroy());
      server.write(head);
      client.pipe(server).pipe(client);
    });
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const host = `127.0.0.1:${proxy.address().port}`;
  return {
    url: `http://${host}/`,
    socketUrl: (mount) => `ws://${host}/${mount}`,
    upgrades: () => upgrades,
    close() {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
