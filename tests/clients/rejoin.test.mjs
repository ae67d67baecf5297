/** The library in Node.js and the real broker: a network that comes back sooner than the broker notices that it was gone. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after, test } from "node:test";
import WebSocket from "ws";
import { Socket } from "../../web/lib/index.js";
import { startBroker } from "../broker.mjs";

const broker = await startBroker();
const proxy = await startDelay(broker.port);
const socket = new Socket(`ws://127.0.0.1:${proxy.port}/socket`, { transport: WebSocket, random: () => 0, heartbeatInterval: 200 });
after(async () => {
  socket.disconnect();
  proxy.close();
  await broker.kill();
});

test("an id without a secret is the client's again, although its old connection has answered the broker meanwhile", { timeout: 60_000 }, async () => {
  const channel = socket.channel(`peer:${crypto.randomUUID()}`);
  /** @type {Array<[string, string | undefined]>} */
  const states = [];
  let check = () => {};
  const reaches = (/** @type {string} */ state, /** @type {string} */ reason) => new Promise((/** @type {(_?: void) => void} */ resolve) => {
    check = () => states.some(([seen, why]) => seen === state && why === reason) && resolve();
    check();
  });
  await channel.join();
  channel.onState((state, detail) => {
    states.push([state, detail?.reason]);
    check();
  });
  proxy.hold();
  await reaches("errored", "disconnected");
  await proxy.asked; // the broker pings the owner of the id
  proxy.passOne(); // a heartbeat: to the broker, the old connection is alive
  await reaches("errored", "taken");
  proxy.passAll(); // the close frame of the old connection
  await reaches("joined");
});

/**
 * A proxy that can hold back what the connections that are open now send to the server.
 *
 * @param {number} port of the server
 */
async function startDelay(port) {
  /** @type {Set<import("node:net").Socket>} */
  const clients = new Set();
  /** @type {Array<() => void>} */
  const held = [];
  let ask = () => {};
  const asked = new Promise((/** @type {(_?: void) => void} */ resolve) => (ask = resolve));
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    clients.add(client);
    upstream.pipe(client);
    upstream.on("data", () => clients.has(client) || ask());
    client.on("data", (chunk) => {
      const pass = () => void upstream.write(chunk);
      if (clients.has(client)) pass();
      else held.push(pass);
    });
    client.on("close", () => (clients.has(client) ? upstream.end() : held.push(() => void upstream.end())));
    for (const end of [client, upstream]) end.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: /** @type {import("node:net").AddressInfo} */ (server.address()).port,
    hold: () => clients.clear(),
    /** The server sends something over a connection that is held back. */
    asked,
    passOne: () => held.shift()?.(),
    passAll: () => held.splice(0).forEach((pass) => pass()),
    close: () => void server.close(),
  };
}
