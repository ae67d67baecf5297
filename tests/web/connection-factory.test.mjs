/** ConnectionFactory: PeerJS options become a socket, a peer and ICE servers; ids are any texts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionFactory, peerIdOf } from "../../web/lib/rtc/index.js";
import { brokerUrl } from "../../web/lib/rtc/pool/connection-factory.js";
import { FakeClock, FakeServer, settle } from "./fakes.mjs";
import { FakePc, SDP } from "./peer-setup.mjs";

const BOB = peerIdOf("bob");

/** A factory at a fake server that has not yet accepted the connection. */
function setUp({ id = undefined, options = {}, ...pool } = {}) {
  const server = new FakeServer();
  const clock = new FakeClock();
  const pcs = [];
  const createConnection = (config) => (pcs.push(new FakePc(config)), pcs.at(-1));
  const given = { host: "example.test", port: 9000, transport: server.Transport, createConnection, ...options };
  const factory = new ConnectionFactory({ peer: { id, options: given }, clock, ...pool });
  const accept = () => {
    server.last.accept();
    server.last.reply("phx_join", "ok", { ice_servers: [{ urls: "stun:of.broker" }] });
  };
  const topic = () => server.last.lastOf("phx_join")[2];
  const push = (event, payload) => server.last.say([null, null, topic(), event, payload]);
  return { server, clock, pcs, factory, accept, topic, push };
}

test("the options of a PeerJS peer give the URL of the broker's socket", () => {
  const page = { protocol: "https:", hostname: "page.test", port: "8443" };
  const plain = { protocol: "http:", hostname: "page.test", port: "" };
  for (const [options, at, url] of /** @type {const} */ ([
    [{}, page, "wss://page.test:8443/socket"],
    [{ host: "/" }, plain, "ws://page.test/socket"],
    [{ port: 4000 }, plain, "ws://page.test:4000/socket"],
    [{ host: "example.test" }, page, "wss://example.test/socket"],
    [{ host: "example.test", secure: true }, plain, "wss://example.test/socket"],
    [{ host: "localhost", port: "9000", path: "/", secure: false }, page, "ws://localhost:9000/socket"],
    [{ host: "localhost", port: 9000, path: "myapp" }, undefined, "ws://localhost:9000/myapp/socket"],
    [{ host: "localhost", port: 9000, path: "/a/b/" }, plain, "ws://localhost:9000/a/b/socket"],
    [{ host: "[::1]", port: 9000 }, plain, "ws://[::1]:9000/socket"],
  ])) {
    assert.equal(brokerUrl(options, at), url);
  }
  for (const wrong of [{}, { host: "not a host" }]) assert.throws(() => brokerUrl(wrong, undefined), TypeError);
});

test("any text is an id: onopen gets it, and the peer joins with the UUID of that name", async () => {
  for (const id of ["alice", "node-42 ü", "11111111-1111-4111-8111-111111111111"]) {
    const { server, factory, accept, topic } = setUp({ id, options: { key: "peerjs" } });
    const opened = new Promise((resolve) => (factory.onopen = resolve));
    assert.equal(factory.getPeerId(), id);
    assert.equal(server.last.url, "ws://example.test:9000/socket/websocket?key=peerjs&vsn=2.0.0");
    accept();
    assert.equal(await opened, id);
    assert.equal(topic(), `peer:${peerIdOf(id)}`);
  }
  const { factory } = setUp();
  assert.match(factory.getPeerId(), /^[0-9a-f-]{36}$/, "without an id it is random");
  assert.throws(() => setUp({ id: "x".repeat(300) }), RangeError);
});

test("an id that is in use is reported to onerror", async () => {
  const { server, factory } = setUp({ id: "alice" });
  const failed = new Promise((resolve) => (factory.onerror = resolve));
  server.last.accept();
  server.last.reply("phx_join", "error", { reason: "taken" });
  assert.equal((await failed).reason, "taken");
});

test("a page's iceServers replace the broker's; the `url` of 2014 is understood", async () => {
  for (const [config, expected] of /** @type {const} */ ([
    [undefined, { iceServers: [{ urls: "stun:of.broker" }] }],
    [{ bundlePolicy: "max-bundle" }, { bundlePolicy: "max-bundle", iceServers: [{ urls: "stun:of.broker" }] }],
    [{ iceServers: [] }, { iceServers: [] }],
    [
      { iceServers: [{ url: "stun:mine" }, { url: "turn:mine", credential: "c", username: "u" }, { urls: ["stun:new"] }] },
      { iceServers: [{ urls: "stun:mine" }, { urls: "turn:mine", credential: "c", username: "u" }, { urls: ["stun:new"] }] },
    ],
  ])) {
    const { pcs, accept, push } = setUp({ id: "alice", options: { config } });
    accept();
    await settle();
    push("peer_connect", { peer_id: BOB });
    assert.deepEqual(pcs[0].config, expected);
  }
});

test("both sides learn the other's id from offer and answer, and a false claim is ignored", async () => {
  for (const [claimed, known] of [["bob", "bob"], ["carol", BOB], [undefined, BOB], [{}, BOB], ["b".repeat(60_000), BOB]]) {
    const { server, pcs, factory, accept, push } = setUp({ id: "alice" });
    accept();
    await settle();
    const created = factory.create("bob");
    await settle();
    server.last.reply("connect", "ok", {});
    push("offer", { peer_id: BOB, attempt: "1", description: { type: "offer", sdp: SDP }, name: claimed });
    await settle();
    assert.equal(server.last.lastOf("answer")[4].name, "alice");
    pcs[0].open();
    assert.equal((await created).getRemotePeerId(), known);

    const incoming = new Promise((resolve) => (factory.onconnection = resolve));
    push("peer_connect", { peer_id: BOB });
    await settle();
    const offer = server.last.lastOf("offer")[4];
    assert.equal(offer.name, "alice");
    push("answer", { peer_id: BOB, attempt: offer.attempt, description: { type: "answer", sdp: SDP }, name: claimed });
    await settle();
    pcs[1].open();
    assert.equal((await incoming).getRemotePeerId(), known);
  }
});

test("candidates do not repeat the id, and a peer without a name sends none", async () => {
  for (const [id, names] of [["alice", ["alice", undefined]], [undefined, [undefined, undefined]]]) {
    const { server, pcs, accept, push } = setUp({ id });
    accept();
    await settle();
    push("peer_connect", { peer_id: BOB });
    pcs[0].dispatchEvent(Object.assign(new Event("icecandidate"), { candidate: { candidate: "", toJSON: () => ({ candidate: "c" }) } }));
    await settle();
    assert.deepEqual(["offer", "candidate"].map((event) => server.last.lastOf(event)[4].name), names);
  }
});

test("a pool may be larger than the usual number of connections of a peer", async () => {
  const { server, accept, push } = setUp({ id: "alice", connectionPoolSize: 100 });
  accept();
  await settle();
  for (let n = 0; n < 201; n++) push("peer_connect", { peer_id: peerIdOf(String(n)) });
  await settle();
  assert.equal(server.last.heard.filter(([, , , event]) => event === "offer").length, 200);
  assert.equal(server.last.lastOf("busy")[4].peer_id, peerIdOf("200"));
});

test("destroy gives the id up at once, and leaves no timer", async () => {
  const { server, clock, pcs, factory, accept, push } = setUp({ id: "alice", connectionCloseDelay: 1_000 });
  accept();
  await settle();
  const incoming = new Promise((resolve) => (factory.onconnection = resolve));
  push("peer_connect", { peer_id: BOB });
  await settle();
  pcs[0].open();
  await incoming;
  push("peer_connect", { peer_id: peerIdOf("dave") }); // who does not answer the offer
  const waiting = assert.rejects(factory.create("carol"), { name: "AbortedError" });
  const destroyed = factory.destroy();
  assert.equal(server.last.closedByClient, true);
  await waiting;
  await clock.advance(1_000); // the other side does not confirm
  await destroyed;
  assert.deepEqual(pcs.map(({ closed }) => closed), [true, true]);
  assert.equal(clock.pending, 0);
});
