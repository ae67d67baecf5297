/**
 * The servers that the benchmark compares with: `peer`, or a Socket.IO relay. It prints its port when it listens.
 * The relay sends to the rooms that the client has joined, or else to all other clients, as Handclasp does.
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
