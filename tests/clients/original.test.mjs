/**
 * The original ephemeral_share flow with its own frames: V1 of its first clients (no `vsn`) and V2 of its
 * last ones. The sharer registers, the visitor connects, then offer and answer.
 */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { Socket } from "phoenix";
import WebSocket from "ws";
import { startBroker } from "../broker.mjs";
import { ok } from "./await.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;

before(async () => {
  broker = await startBroker();
});

after(async () => {
  await broker?.kill();
});

/**
 * @typedef {object} Client what the flow needs of a client, whichever frames it speaks
 * @property {(mount: string, topic: string) => Promise<Topic>} join
 * @property {() => void} close
 */
/**
 * @typedef {object} Topic
 * @property {(event: string, payload: object) => void} push sends and does not wait
 * @property {(event: string) => Promise<any>} hear the payload of the next event with that name
 */

/** Raw V1 frames, as Phoenix 0.14's client sent them: no join_ref anywhere. */
class V1Client {
  #sockets = [];
  #ref = 0;

  async join(mount, topic) {
    const socket = new WebSocket(`${broker.socketUrl(mount)}/websocket`);
    this.#sockets.push(socket);
    /** @type {any[]} */
    const inbox = [];
    socket.on("message", (data) => inbox.push(JSON.parse(data)));
    await once(socket, "open");
    const send = (event, payload) => {
      const ref = String(++this.#ref);
      socket.send(JSON.stringify({ topic, event, payload, ref }));
      return ref;
    };
    const take = async (fits) => {
      for (;;) {
        const at = inbox.findIndex(fits);
        if (at >= 0) return inbox.splice(at, 1)[0];
        await once(socket, "message");
      }
    };
    const ref = send("phx_join", {});
    const reply = await take((message) => message.ref === ref);
    assert.deepEqual(Object.keys(reply).sort(), ["event", "payload", "ref", "topic"]);
    assert.equal(reply.event, "phx_reply");
    assert.equal(reply.payload.status, "ok");
    return {
      push: (event, payload) => void send(event, payload),
      hear: async (event) => (await take((message) => message.event === event)).payload,
    };
  }

  close() {
    for (const socket of this.#sockets) socket.terminate();
  }
}

/** The current official client, which requests V2. */
class V2Client {
  #sockets = [];

  async join(mount, topic) {
    const socket = new Socket(broker.socketUrl(mount), { transport: WebSocket, vsn: "2.0.0" });
    this.#sockets.push(socket);
    socket.connect();
    const channel = socket.channel(topic, {});
    /** @type {any[]} */
    const inbox = [];
    let wake = () => {};
    channel.onMessage = (event, payload) => {
      inbox.push({ event, payload });
      wake();
      return payload;
    };
    await ok(channel.join());
    return {
      push: (event, payload) => void channel.push(event, payload),
      hear: async (event) => {
        for (;;) {
          const at = inbox.findIndex((message) => message.event === event);
          if (at >= 0) return inbox.splice(at, 1)[0].payload;
          await new Promise((resolve) => (wake = resolve));
        }
      },
    };
  }

  close() {
    for (const socket of this.#sockets) socket.disconnect();
  }
}

/** @param {Client} client */
async function register(client) {
  const match = await client.join("ws", "broker:match");
  match.push("register", {});
  const { id } = await match.hear("registered");
  assert.match(id, /^[0-9a-f-]{36}$/);
  return { id, peer: await client.join("peer", `peer:${id}`) };
}

const CLIENTS = { V1: V1Client, V2: V2Client };
for (const [sharerFrames, visitorFrames] of [["V1", "V1"], ["V2", "V2"], ["V1", "V2"], ["V2", "V1"]]) {
  test(`a sharer with ${sharerFrames} and a visitor with ${visitorFrames} frames complete a handshake`, async (t) => {
    const clients = [new CLIENTS[sharerFrames](), new CLIENTS[visitorFrames]()];
    t.after(() => clients.forEach((client) => client.close()));
    const [sharer, visitor] = [await register(clients[0]), await register(clients[1])];
    const route = { peer_id: sharer.id, sender_id: visitor.id };
    const back = { peer_id: visitor.id, sender_id: sharer.id };

    visitor.peer.push("connect", route);
    assert.deepEqual(await sharer.peer.hear("peer_connect"), { peer_id: visitor.id });
    const offer = { type: "offer", sdp: "v=0\r\n" };
    sharer.peer.push("offer", { offer, ...back });
    assert.deepEqual(await visitor.peer.hear("offer"), { offer, peer_id: sharer.id });
    const answer = { type: "answer", sdp: "v=0\r\n" };
    visitor.peer.push("answer", { answer, ...route });
    assert.deepEqual(await sharer.peer.hear("answer"), { answer, peer_id: visitor.id });
  });
}

for (const frames of Object.keys(CLIENTS)) {
  test(`an absent sharer is reported with error_connect, ${frames} frames`, async (t) => {
    const client = new CLIENTS[frames]();
    t.after(() => client.close());
    const { id, peer } = await register(client);
    const absent = randomUUID();
    peer.push("connect", { peer_id: absent, sender_id: id });
    assert.deepEqual(await peer.hear("error_connect"), { id: absent });
  });
}
