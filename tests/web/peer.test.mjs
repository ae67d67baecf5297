/** Peer and Connection: calls, offers, and signals that arrive late, early or from strangers. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ME, OTHER, SDP, TOPIC, calling, offer, setUp, unjoined } from "./peer-setup.mjs";
import { joinWithRetry } from "../../web/lib/rtc/peer.js";
import { settle } from "./fakes.mjs";

test("the join carries the secret", async () => {
  const { server } = await setUp();
  const [, , topic, , payload] = server.last.lastOf("phx_join");
  assert.deepEqual([topic, payload], [TOPIC, { secret: ME.secret }]);
});

test("the called peer makes the offer, with the broker's ICE servers", async () => {
  const { server, pcs, peer, push } = await setUp();
  const opened = new Promise((resolve) => peer.on("connection", resolve));
  push("peer_connect", { peer_id: OTHER });
  await settle();
  assert.deepEqual(pcs[0].config, { iceServers: [{ urls: "stun:stun.test" }] });
  assert.deepEqual(pcs[0].channelOptions, { label: "handclasp", negotiated: true, id: 0 });
  const { attempt, ...sent } = server.last.lastOf("offer")[4];
  assert.deepEqual(sent, { peer_id: OTHER, description: { type: "offer", sdp: SDP }, calling: false });
  push("answer", { peer_id: OTHER, attempt, description: { type: "answer", sdp: SDP } });
  pcs[0].open();
  const connection = await opened;
  assert.deepEqual(connection.fingerprints(), { local: "sha-256 AA:BB", remote: "sha-256 AA:BB" });
});

test("the caller answers, and connect resolves when the connection is open", async () => {
  const { server, pcs, push, call } = await calling();
  push("offer", offer("a1"));
  await settle();
  const answer = server.last.lastOf("answer")[4];
  assert.deepEqual(answer, { peer_id: OTHER, attempt: "a1", description: { type: "answer", sdp: SDP } });
  pcs[0].open();
  assert.equal((await call).isOpen, true);
});

test("candidates may arrive before the description, and even before the offer", async () => {
  const { pcs, push, call } = await calling();
  push("candidate", { peer_id: OTHER, attempt: "a1", candidate: { candidate: "early" } });
  push("candidate", { peer_id: OTHER, attempt: "a0", candidate: { candidate: "of another attempt" } });
  push("offer", offer("a1"));
  push("candidate", { peer_id: OTHER, attempt: "a1", candidate: { candidate: "late" } });
  await settle();
  assert.deepEqual(pcs[0].candidates.map(({ candidate }) => candidate), ["early", "late"]);
  pcs[0].open();
  await call;
});

test("local candidates are sent as they are found", async () => {
  const { server, pcs, push } = await setUp();
  push("peer_connect", { peer_id: OTHER });
  await settle();
  const { attempt } = server.last.lastOf("offer")[4];
  const found = Object.assign(new Event("icecandidate"), { candidate: { toJSON: () => ({ candidate: "mine" }) } });
  pcs[0].dispatchEvent(found);
  assert.deepEqual(server.last.lastOf("candidate")[4], { peer_id: OTHER, attempt, candidate: { candidate: "mine" } });
});

test("an answer to an earlier attempt does not affect the current one", async () => {
  const { server, pcs, push } = await setUp();
  push("peer_connect", { peer_id: OTHER });
  await settle();
  const first = server.last.lastOf("offer")[4].attempt;
  push("peer_connect", { peer_id: OTHER });
  await settle();
  const second = server.last.lastOf("offer")[4].attempt;
  assert.notEqual(first, second);
  assert.equal(pcs[0].closed, true);
  push("answer", { peer_id: OTHER, attempt: first, description: { type: "answer", sdp: "stale" } });
  push("answer", { peer_id: OTHER, attempt: second, description: { type: "answer", sdp: SDP } });
  push("answer", { peer_id: OTHER, attempt: second, description: { type: "answer", sdp: "again" } });
  await settle();
  assert.equal(pcs[1].remoteDescription.sdp, SDP);
  assert.equal(pcs[1].closed, false);
});

test("a newer offer of the same call replaces the older one without failing the call", async () => {
  const { pcs, push, call } = await calling();
  push("offer", offer("a1"));
  push("offer", offer("a2"));
  push("offer", offer("a1"));
  await settle();
  assert.deepEqual(pcs.map(({ closed }) => closed), [true, false]);
  pcs[1].open();
  assert.equal((await call).attempt, "a2");
});

test("an unexpected offer is not answered", async () => {
  const { pcs, push } = await setUp();
  push("offer", offer("a1"));
  push("candidate", { peer_id: OTHER, attempt: "a1", candidate: {} });
  await settle();
  assert.equal(pcs.length, 0);
});

test("a call to an absent peer fails immediately", async () => {
  const { server, peer } = await setUp();
  const call = peer.connect(OTHER);
  server.last.reply("connect", "error", { reason: "peer_not_found" });
  await assert.rejects(call, { name: "PeerError", reason: "absent" });
});

test("a peer without an offer is `silent`, one whose offer does not connect is `no_path`", async () => {
  const first = await calling();
  const silent = assert.rejects(first.call, { name: "PeerError", reason: "silent" });
  await first.clock.advance(30_000);
  await silent;

  const second = await calling();
  second.push("offer", offer("a1"));
  await settle();
  second.server.last.reply("answer", "ok", {});
  const pathless = assert.rejects(second.call, { name: "PeerError", reason: "no_path" });
  await second.clock.advance(30_000);
  await pathless;
  second.server.last.reply("hangup", "ok", {});
  assert.equal(second.pcs[0].closed, true);
  assert.equal(second.clock.pending, 1, "only the heartbeat's timer is left");
});

test("an ICE failure fails the call before its timeout", async () => {
  const { pcs, push, call } = await calling();
  push("offer", offer("a1"));
  await settle();
  const failed = assert.rejects(call, { reason: "no_path" });
  pcs[0].fail();
  await failed;
});

test("a description that cannot be parsed fails the call with the reason", async () => {
  const { push, call } = await calling();
  const failed = assert.rejects(call, { name: "PeerError", message: /cannot be parsed/ });
  push("offer", offer("a1", "nonsense"));
  await failed;
});

test("a call can be aborted, before and while it is under way", async () => {
  const control = new AbortController();
  const { call, peer, pcs, push } = await calling({ signal: control.signal });
  const given = assert.rejects(call, { reason: "aborted" });
  push("offer", offer("a1"));
  await settle();
  control.abort();
  await given;
  assert.equal(pcs[0].closed, true);
  await assert.rejects(peer.connect(OTHER, { signal: control.signal }), { reason: "aborted" });
});

test("an open connection that breaks emits close once", async () => {
  const { pcs, push, call } = await calling();
  push("offer", offer("a1"));
  await settle();
  pcs[0].open();
  const connection = await call;
  const reasons = [];
  connection.on("close", ({ reason }) => reasons.push(reason));
  pcs[0].channel.dispatchEvent(new Event("close"));
  pcs[0].fail();
  assert.deepEqual(reasons, ["lost"]);
  assert.equal(pcs[0].closed, true);
});

test("callers beyond the maximum are answered with busy", async () => {
  const { server, pcs, push } = await setUp({ maxConnections: 1 });
  push("peer_connect", { peer_id: OTHER });
  push("peer_connect", { peer_id: "22222222-2222-8222-8222-222222222222" });
  push("peer_connect", { peer_id: OTHER });
  await settle();
  assert.equal(server.last.lastOf("busy")[4].peer_id, "22222222-2222-8222-8222-222222222222");
  assert.deepEqual(pcs.map(({ closed }) => closed), [true, false]);
});

test("busy fails the call", async () => {
  const { push, call } = await calling();
  const busy = assert.rejects(call, { reason: "busy" });
  push("busy", { peer_id: OTHER });
  await busy;
});

test("a watch continues across reconnects", async () => {
  const { server, clock, peer, push } = await setUp();
  const seen = [];
  peer.on("up", (id) => seen.push(`up ${id}`));
  peer.on("down", (id) => seen.push(`down ${id}`));
  const watch = peer.watch(OTHER);
  server.last.reply("watch", "ok", { online: true });
  assert.equal(await watch, true);
  push("peer_down", { peer_id: OTHER });
  server.last.drop();
  await clock.advance(250);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  server.last.reply("watch", "ok", { online: true });
  await settle();
  assert.deepEqual(seen, [`down ${OTHER}`, `up ${OTHER}`]);
});

test("a watch that a busy server refuses after a reconnect is tried again", async () => {
  const { server, clock, peer } = await setUp();
  const seen = [];
  peer.on("up", (id) => seen.push(`up ${id}`));
  const watch = peer.watch(OTHER);
  server.last.reply("watch", "ok", { online: false });
  assert.equal(await watch, false);
  server.last.drop();
  await clock.advance(250);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  for (const reason of ["rate_limited", "overloaded"]) {
    server.last.reply("watch", "error", { reason });
    await settle();
    const [, ref] = server.last.lastOf("watch");
    await clock.advance(2_000);
    assert.notEqual(server.last.lastOf("watch")[1], ref, `tried again after ${reason}`);
  }
  server.last.reply("watch", "ok", { online: true });
  await settle();
  assert.deepEqual(seen, [`up ${OTHER}`]);
});

test("a join that a busy server refuses is tried again some times, and not after the peer is closed", async () => {
  const start = () => {
    const { server, clock, socket, peer } = unjoined();
    const joined = joinWithRetry(peer, { clock, random: () => 1 }).catch((error) => error);
    socket.connect();
    server.last.accept();
    return { server, clock, peer, joined };
  };
  const countJoins = (/** @type {any} */ server) => server.last.heard.filter(([, , , event]) => event === "phx_join").length;
  const refuse = async (/** @type {any} */ { server, clock }, reason = "overloaded") => {
    server.last.reply("phx_join", "error", { reason });
    await clock.advance(10_000);
  };
  const busy = start();
  for (let joins = 1; joins <= 3; joins++) {
    assert.equal(countJoins(busy.server), joins);
    await refuse(busy);
  }
  busy.server.last.reply("phx_join", "ok", {});
  assert.equal(await busy.joined, undefined);

  const full = start();
  for (let joins = 1; joins <= 6; joins++) await refuse(full);
  assert.equal((await full.joined).reason, "overloaded");
  assert.equal(countJoins(full.server), 6);

  const taken = start();
  await refuse(taken, "taken");
  assert.equal((await taken.joined).reason, "taken");

  const closed = start();
  closed.server.last.reply("phx_join", "error", { reason: "overloaded" });
  closed.peer.close();
  await closed.clock.advance(10_000);
  assert.equal((await closed.joined).reason, "overloaded");
  assert.equal(countJoins(closed.server), 1);
});

test("a connected peer that goes down is pinged", async () => {
  for (const [answers, reasons] of [[true, []], [false, ["lost"]]]) {
    const { clock, pcs, push, call } = await calling();
    push("offer", offer("a1"));
    await settle();
    pcs[0].open();
    const connection = await call;
    const channel = await connection.opened;
    const heard = [];
    connection.on("close", ({ reason }) => heard.push(reason));
    pcs[0].channel.other.addEventListener("message", ({ data }) => {
      if (answers) pcs[0].channel.other.send(data.replace("ping", "pong"));
    });
    push("peer_down", { peer_id: OTHER });
    await settle();
    await settle();
    await clock.advance(1_500);
    assert.deepEqual(heard, reasons);
    assert.equal(connection.isOpen, answers);
    if (!answers) await assert.rejects(channel.receive(), { reason: "lost" });
  }
});

test("closing ends calls and connections, and leaves the topic", async () => {
  const { server, peer, pcs, push, call } = await calling();
  push("peer_connect", { peer_id: "22222222-2222-8222-8222-222222222222" });
  await settle();
  const ended = assert.rejects(call, { reason: "closed" });
  peer.close();
  await ended;
  assert.equal(pcs[0].closed, true);
  assert.ok(server.last.lastOf("phx_leave"));
});

/** An open connection that this side has answered. */
async function connected(options) {
  const all = await calling(options);
  all.push("offer", offer("a1"));
  await settle();
  all.pcs[0].open();
  return { ...all, pc: all.pcs[0], connection: await all.call };
}

function candidate(kind) {
  const text = `candidate:1 1 udp 1 192.0.2.1 1 typ ${kind} generation 0`;
  return Object.assign(new Event("icecandidate"), { candidate: { candidate: text, toJSON: () => ({ candidate: text }) } });
}

test("a call without a path reports the candidates and whether the servers answered", async () => {
  const { server, clock, pcs, push, call } = await calling();
  push("offer", offer("a1"));
  await settle();
  server.last.reply("answer", "ok", {});
  pcs[0].dispatchEvent(candidate("host"));
  push("candidate", { peer_id: OTHER, attempt: "a1", candidate: { candidate: "candidate:1 1 udp 1 x 1 typ srflx" } });
  const url = "stun:stun.test";
  pcs[0].dispatchEvent(Object.assign(new Event("icecandidateerror"), { url, errorCode: 701 }));
  const message = /this side found host candidates, the other side sent srflx candidates; STUN is unreachable, no TURN server/;
  const iceReport = { local: ["host"], remote: ["srflx"], stun: "unreachable", turn: "none" };
  const failed = assert.rejects(call, { reason: "no_path", message, iceReport });
  await clock.advance(30_000);
  await failed;
});

test("an interrupted connection recovers by an ICE restart over the broker", async () => {
  const { server, clock, pc, push, connection } = await connected();
  const heard = [];
  for (const event of ["interrupted", "restored", "close"]) connection.on(event, () => heard.push(event));
  pc.ice("disconnected");
  await clock.advance(1_999);
  assert.equal(pc.restarts, 0, "a short break heals by itself");
  await clock.advance(1);
  assert.equal(pc.restarts, 1);
  const { attempt, description } = server.last.lastOf("offer")[4];
  assert.deepEqual([attempt, description.type], ["a1", "offer"]);
  push("answer", { peer_id: OTHER, attempt, description: { type: "answer", sdp: SDP } });
  pc.ice("connected");
  await clock.advance(20_000);
  assert.deepEqual(heard, ["interrupted", "restored"]);
});

test("a connection that does not recover is closed, and leaves no timer", async () => {
  const { clock, pc, connection } = await connected();
  const reasons = [];
  connection.on("close", ({ reason }) => reasons.push(reason));
  pc.ice("failed");
  pc.fail();
  await clock.advance(14_999);
  assert.deepEqual(reasons, []);
  await clock.advance(1);
  assert.deepEqual(reasons, ["lost"]);
});

for (const answers of [true, false]) {
  test(`a page that is shown again pings its peers, and ${answers ? "keeps one that answers" : "closes the connection to one that does not"}`, async () => {
    const network = Object.assign(new EventTarget(), { document: Object.assign(new EventTarget(), { visibilityState: "visible" }) });
    const { clock, peer, pc, connection, push } = await connected({ network });
    const heard = [];
    connection.on("close", ({ reason }) => heard.push(reason));
    let pings = 0;
    pc.channel.other.addEventListener("message", ({ data }) => {
      pings += 1;
      if (answers) pc.channel.other.send(data.replace("ping", "pong"));
    });
    push("phx_close", {}); // the connection goes on without the server
    network.document.dispatchEvent(new Event("visibilitychange"));
    await settle();
    await settle();
    await clock.advance(4_999);
    assert.deepEqual(heard, []);
    await clock.advance(1);
    assert.deepEqual(heard, answers ? [] : ["lost"]);
    peer.close();
    network.document.dispatchEvent(new Event("visibilitychange"));
    await settle();
    assert.equal(pings, 1);
  });
}

test("a change of network restarts ICE immediately; a change of its speed does not", async () => {
  const navigator = { connection: Object.assign(new EventTarget(), { type: "wifi" }) };
  const network = Object.assign(new EventTarget(), { navigator });
  const { pc } = await connected({ network });
  navigator.connection.dispatchEvent(new Event("change"));
  assert.equal(pc.restarts, 0);
  navigator.connection.type = "cellular";
  navigator.connection.dispatchEvent(new Event("change"));
  network.dispatchEvent(new Event("online"));
  assert.equal(pc.restarts, 2);
});

test("an offer that the broker lost is sent again when it is back", async () => {
  const { server, clock, pc, peer } = await connected();
  pc.restartIce();
  await settle();
  assert.ok(server.last.lastOf("offer"));
  server.last.drop();
  await clock.advance(250);
  server.last.accept();
  assert.equal(server.last.lastOf("offer"), undefined);
  server.last.reply("phx_join", "ok", {});
  await settle();
  assert.equal(server.last.lastOf("offer")[4].attempt, "a1");
  peer.close();
});

test("a renegotiation with another fingerprint closes the connection", async () => {
  const { pc, push, connection } = await connected();
  const closed = new Promise((resolve) => connection.on("close", resolve));
  push("offer", offer("a1", SDP.replace("AA", "CC")));
  assert.equal((await closed).reason, "protocol");
  assert.equal(pc.remoteDescription.sdp, SDP);
});

test("a description larger than the server's limit ends its connection as too big, and nothing reconnects", async () => {
  for (const isOpen of [false, true]) {
    const { server, clock, peer, pcs, push } = await setUp({ maxMessageBytes: 2_000 });
    const connections = [];
    peer.on("connection", (connection) => connections.push(connection));
    push("peer_connect", { peer_id: OTHER });
    if (isOpen) {
      await settle();
      server.last.reply("offer", "ok", {});
      const { attempt } = server.last.lastOf("offer")[4];
      push("answer", { peer_id: OTHER, attempt, description: { type: "answer", sdp: SDP } });
      await settle();
      pcs[0].open();
      await settle();
    }
    const closed = [];
    connections[0]?.on("close", ({ reason }) => closed.push(reason));
    pcs[0].extraSdp = "a=x\r\n".repeat(1_000);
    if (isOpen) pcs[0].dispatchEvent(new Event("negotiationneeded"));
    await settle();
    assert.equal(pcs[0].closed, true);
    assert.deepEqual(closed, isOpen ? ["too_big"] : []);
    // The other side of an open connection sees its channel close.
    if (!isOpen) assert.deepEqual([OTHER, "too_big"], [server.last.lastOf("hangup")[4].peer_id, server.last.lastOf("hangup")[4].reason]);
    assert.equal(server.connections.length, 1);
    peer.close();
    await clock.advance(60_000);
  }
});

test("a caller learns that the called peer's offer is too big, or cannot be made", async () => {
  for (const reason of ["too_big", "negotiation"]) {
    const { push, call } = await calling();
    const failed = assert.rejects(call, { name: "PeerError", reason });
    push("hangup", { peer_id: OTHER, attempt: "unknown", reason });
    await failed;
  }
});

test("a called peer that cannot make an offer tells the caller", async () => {
  const { server, pcs, push } = await setUp();
  push("peer_connect", { peer_id: OTHER });
  pcs[0].setLocalDescription = async () => {
    throw new TypeError("as the test wants");
  };
  await settle();
  assert.deepEqual([OTHER, "negotiation"], [server.last.lastOf("hangup")[4].peer_id, server.last.lastOf("hangup")[4].reason]);
});

test("a failed call does not affect an open connection", async () => {
  const { server, peer, connection } = await connected();
  const again = peer.connect(OTHER);
  server.last.reply("connect", "error", { reason: "peer_not_found" });
  await assert.rejects(again, { reason: "absent" });
  assert.equal(connection.isOpen, true);
});

test("a watch ends by unwatch or by its signal, and is not renewed", async () => {
  const { server, clock, peer } = await setUp();
  const control = new AbortController();
  const watch = peer.watch(OTHER, { signal: control.signal });
  server.last.reply("watch", "ok", { online: false });
  assert.equal(await watch, false);
  control.abort();
  assert.deepEqual(server.last.lastOf("unwatch")[4], { peer_id: OTHER });
  await assert.rejects(peer.watch(OTHER, { signal: control.signal }), { name: "AbortedError" });
  server.last.drop();
  await clock.advance(250);
  server.last.accept();
  server.last.reply("phx_join", "ok", {});
  assert.equal(server.last.lastOf("watch"), undefined);
});
