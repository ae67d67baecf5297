/** A channel at a fake server. */

import { Socket } from "../../web/lib/index.js";
import { FakeClock, FakeServer } from "./fakes.mjs";

export function setUp(params = {}) {
  const server = new FakeServer();
  const clock = new FakeClock();
  const options = { transport: server.Transport, clock, network: new EventTarget(), random: () => 1, bufferLimit: 3 };
  const socket = new Socket("ws://example.test/socket", options);
  return { server, clock, socket, channel: socket.channel("room:a", params) };
}

export async function joined(params) {
  const all = setUp(params);
  const answer = all.channel.join();
  all.server.last.accept();
  all.server.last.reply("phx_join", "ok", { hello: 1 });
  return { ...all, answer: await answer };
}

export async function comeBack({ server, clock }) {
  server.last.drop();
  await clock.advance(250);
  server.last.accept();
}
