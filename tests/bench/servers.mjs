/**
 * What people run today, for the bench to compare with: `peer` or a socket.io relay, on a port of its own, which
 * it prints once it listens. The relay does what ours does: to the rooms joined, or else to everybody else.
 */

import { createServer } from "node:http";

const kind = process.argv[2];
const server = createServer();

if (kind === "peer") {
  const { PeerServer } = await import("peer");
  PeerServer({ port: 0, path: "/", alive_timeout: 600_000, concurrent_limit: 100_000 }, (listening) => {
    console.log(listening.address().port);
  }).on("error", () => {});
} else {
  const { Server } = await import("socket.io");
  new Server(server, { serveClient: false }).on("connection", (socket) => {
    socket.on("join", ({ room }, acknowledge) => {
      socket.join(room);
      acknowledge?.();
    });
    socket.on("message", (...args) => {
      const rooms = [...socket.rooms].filter((room) => room !== socket.id);
      (rooms.length > 0 ? socket.to(rooms) : socket.broadcast).emit("message", ...args);
    });
  });
  server.listen(0, "127.0.0.1", () => console.log(/** @type {any} */ (server.address()).port));
}
