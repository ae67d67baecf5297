/** Socket: connecting, reconnecting, heartbeat, invalid frames. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Socket } from "../../web/lib/index.js";
import { FakeClock, FakeServer, settle } from "./fakes.mjs";

function setUp(options = {}) {
  const server = new FakeServer();
  const clock = new FakeClock();
  const network = new EventTarget();
  const socket = new Socket("wss://example.test/socket/", {
    transport: server.Transport,
    clock,
    network,
    fetch: null,
    random: () => 1,
    ...options,
  });
  return { server, clock, network, socket };
}

function open(options) {
  const all = setUp(options);
  all.socket.connect();
  all.server.last.accept();
  return all;
}

test("the URL contains the transport, the params and the version", () => {
  const { server, socket } = setUp({ params: { token: "a&b" } });
  socket.connect();
  assert.equal(server.last.url, "wss://example.test/socket/websocket?token=a%26b&vsn=2.0.0");
  assert.equal(server.last.client.binaryType, "arraybuffer");
});

test("an http URL becomes a ws URL", () => {
  const server = new FakeServer();
  new Socket("http://example.test/socket", { transport: server.Transport, clock: new FakeClock(), fetch: null }).connect();
  assert.equal(server.last.url, "ws://example.test/socket/websocket?vsn=2.0.0");
});

test("a lost connection is retried with increasing delays, which start again after a success", async () => {
  const { server, clock, socket } = open();
  /** @type {number[]} */
  const waits = [];
  socket.on("waiting", (ms) => waits.push(ms));
  server.last.drop();
  for (let i = 0; i < 8; i++) {
    await clock.advance(waits.at(-1));
    server.last.drop();
  }
  assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
  await clock.advance(15_000);
  server.last.accept();
  server.last.drop();
  assert.equal(waits.at(-1), 250);
});

test("the delay is random between half and all of its maximum", () => {
  for (const [random, expected] of [[0, 125], [0.5, 188], [0.999, 250]]) {
    const { server, socket } = open({ random: () => random });
    let wait = 0;
    socket.on("waiting", (ms) => (wait = ms));
    server.last.drop();
    assert.equal(wait, expected);
  }
});

test("the socket reconnects after a close with code 1000 of any other cause", async () => {
  const { server, clock } = open();
  server.last.drop(1000);
  await clock.advance(250);
  assert.equal(server.connections.length, 2);
});

test("the socket reconnects immediately when the network returns", () => {
  const { server, network, socket } = open();
  server.last.drop();
  assert.equal(socket.state, "waiting");
  network.dispatchEvent(new Event("online"));
  assert.equal(socket.state, "connecting");
  assert.equal(server.connections.length, 2);
});

test("after a change of network an open connection is closed if no heartbeat is answered within 5 s", async () => {
  for (const answers of [true, false]) {
    const { server, clock, network, socket } = open();
    await clock.advance(20_000);
    network.dispatchEvent(new Event("online"));
    network.dispatchEvent(new Event("online"));
    const beats = server.last.heard.filter(([, , topic, event]) => topic === "phoenix" && event === "heartbeat");
    assert.equal(beats.length, 1);
    if (answers) server.last.reply("heartbeat", "ok", {});
    await clock.advance(4_999);
    assert.equal(socket.state, "open");
    await clock.advance(1);
    assert.equal(socket.state, answers ? "open" : "waiting");
    socket.disconnect();
    assert.equal(clock.pending, 0);
  }
});

/** The parts of a browser's window that tell when a page is shown again. */
class FakeWindow extends EventTarget {
  document = Object.assign(new EventTarget(), { visibilityState: "visible" });

  /** @param {"visible" | "hidden"} visibilityState */
  turn(visibilityState) {
    this.document.visibilityState = visibilityState;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }
}

const RETURNS = /** @type {Record<string, (window: FakeWindow) => void>} */ ({
  "became visible": (window) => (window.turn("hidden"), window.turn("visible")),
  "came out of the back/forward cache": (window) => window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true })),
  "was unfrozen": (window) => window.document.dispatchEvent(new Event("resume")),
});

for (const [what, comeBack] of Object.entries(RETURNS)) {
  test(`a page that ${what} is not connected until its probe is answered`, async () => {
    const network = new FakeWindow();
    const { server, clock, socket } = open({ network });
    const changes = [];
    socket.on("connected", (isConnected) => changes.push(isConnected));
    comeBack(network);
    assert.deepEqual([changes, socket.isConnected, socket.state], [[false], false, "open"]);
    comeBack(network);
    assert.equal(server.last.heard.length, 1);
    server.last.reply("heartbeat", "ok", {});
    assert.deepEqual([changes, socket.isConnected], [[false, true], true]);

    comeBack(network);
    await clock.advance(5_000);
    assert.deepEqual([changes, socket.state], [[false, true, false], "waiting"]);
    comeBack(network);
    assert.equal(socket.state, "connecting");
    server.last.accept();
    assert.deepEqual([changes, socket.isConnected], [[false, true, false, true], true]);
    socket.disconnect();
    comeBack(network);
    assert.deepEqual([changes.at(-1), clock.pending, server.connections.length], [false, 0, 2]);
  });
}

test("a page that is hidden or shown for the first time sends no probe", () => {
  const network = new FakeWindow();
  const { server, socket } = open({ network });
  network.turn("hidden");
  network.dispatchEvent(new Event("pageshow"));
  assert.deepEqual([server.last.heard.length, socket.isConnected], [0, true]);
});

test("the answer to a heartbeat from before the page was shown again is no answer to its probe", async () => {
  const network = new FakeWindow();
  const { server, clock, socket } = open({ network });
  await clock.advance(30_000);
  network.turn("visible");
  const [earlier] = server.last.heard;
  server.last.say([null, earlier[1], "phoenix", "phx_reply", { status: "ok", response: {} }]);
  assert.equal(socket.isConnected, false);
  await clock.advance(5_000);
  assert.equal(socket.state, "waiting");
});

test("an attempt that never opens times out", async () => {
  const { server, clock, socket } = setUp();
  socket.connect();
  await clock.advance(10_000);
  assert.equal(server.connections[0].closedByClient, true);
  await clock.advance(250);
  assert.equal(server.connections.length, 2);
});

test("a heartbeat is sent every 30 s; an unanswered one closes the connection", async () => {
  const { server, clock, socket } = open();
  await clock.advance(30_000);
  const [joinRef, ref, topic, event] = server.last.heard[0];
  assert.deepEqual([joinRef, topic, event], [null, "phoenix", "heartbeat"]);
  server.last.say([null, ref, "phoenix", "phx_reply", { status: "ok", response: {} }]);
  await clock.advance(30_000);
  assert.equal(socket.state, "open");
  assert.equal(server.last.heard.length, 2);

  /** @type {any} */
  let closed;
  socket.on("close", (info) => (closed = info));
  await clock.advance(30_000);
  assert.deepEqual(closed, { code: 1006, reason: "heartbeat timeout" });
  assert.equal(server.connections[0].closedByClient, true);
  await clock.advance(250);
  assert.equal(server.connections.length, 2);
});

test("disconnect stops reconnecting and leaves no timer", async () => {
  const { server, clock, network, socket } = open();
  socket.disconnect();
  assert.equal(socket.state, "closed");
  assert.equal(server.last.closedByClient, true);
  network.dispatchEvent(new Event("online"));
  await clock.advance(60_000);
  assert.equal(server.connections.length, 1);
  assert.equal(clock.pending, 0);
});

test("a close listener may disconnect", async () => {
  const { server, clock, socket } = open();
  socket.on("close", () => socket.disconnect());
  server.last.drop();
  await clock.advance(60_000);
  assert.equal(server.connections.length, 1);
});

test("events of an abandoned transport are ignored", async () => {
  const { server, clock, socket } = open();
  server.connections[0].drop();
  await clock.advance(250);
  server.connections[1].accept();
  server.connections[0].drop();
  assert.equal(socket.state, "open");
});

test("invalid frames are reported and have no other effect", () => {
  const { server, socket } = open();
  /** @type {string[]} */
  const errors = [];
  socket.on("error", (error) => errors.push(error.message));
  server.last.client.onmessage({ data: "{" });
  server.last.say(["too", "short"]);
  server.last.say(["1", "1", null, "phx_reply", {}]);
  server.last.say(["1", "1", "room:a", "phx_reply", null]);
  server.last.say(new Uint8Array([9, 1]).buffer);
  server.last.say(new Uint8Array([2, 200, 3, 65]).buffer);
  assert.deepEqual(errors, [
    "text frame of 1 characters is not json",
    "text frame is not an array of five elements",
    "topic or event of a text frame is not a string",
    "text frame is a reply without a status",
    "binary frame of unknown kind 9",
    "binary frame of 4 bytes is truncated",
  ]);
  assert.equal(socket.state, "open");
});

test("connect resolves after as many attempts as it takes", async () => {
  const { server, clock, socket } = setUp();
  const opened = socket.connect();
  server.last.drop();
  await clock.advance(250);
  server.last.accept();
  await opened;
  await socket.connect();
  assert.equal(server.connections.length, 2);
});

test("aborting connect stops connecting, unless another call or a channel waits too", async () => {
  for (const others of ["none", "call", "channel"]) {
    const { server, clock, socket } = setUp();
    const control = new AbortController();
    const connecting = assert.rejects(socket.connect({ signal: control.signal }), { name: "AbortedError" });
    const other = others === "call" ? socket.connect() : null;
    const join = others === "channel" ? socket.channel("room:a").join() : null;
    control.abort();
    await connecting;
    await settle();
    assert.equal(socket.state, others === "none" ? "closed" : "connecting", others);
    if (others === "none") assert.equal(clock.pending, 0);
    else server.last.accept();
    await other;
    if (join) server.last.reply("phx_join", "ok", {});
    await join;
    await assert.rejects(socket.connect({ signal: control.signal }), { name: "AbortedError" });
  }
});

test("disconnect rejects pending connects", async () => {
  const { socket } = setUp();
  const connecting = assert.rejects(socket.connect(), { name: "DisconnectedError" });
  socket.disconnect();
  await connecting;
});

test("params may be a function, which is called for each attempt", async () => {
  let count = 0;
  const { server, clock } = open({ params: () => ({ token: String(++count) }) });
  server.last.drop();
  await clock.advance(250);
  assert.deepEqual(server.connections.map(({ url }) => new URL(url).searchParams.get("token")), ["1", "2"]);
});

test("an exception of the platform's WebSocket counts as a lost connection and is retried", async () => {
  const { server, clock, socket } = setUp();
  let refusals = 2;
  class Transport extends server.Transport {
    constructor(url) {
      if (refusals-- > 0) throw new Error("not allowed here");
      super(url);
    }
  }
  const refused = new Socket("wss://example.test/socket", { transport: Transport, clock, random: () => 1, fetch: null });
  const reasons = [];
  refused.on("close", ({ reason }) => reasons.push(reason));
  const opened = refused.connect();
  await clock.advance(750);
  server.last.accept();
  await opened;
  assert.deepEqual(reasons, ["Error: not allowed here", "Error: not allowed here"]);
  assert.equal(socket.state, "closed");
});

test("a URL that is none of a WebSocket is refused immediately", () => {
  for (const url of ["htp://example.test/socket", "example.test:4000/socket", "mailto:a@example.test", "wss://", "/socket"]) {
    assert.throws(() => new Socket(url, { transport: new FakeServer().Transport }), { name: "TypeError" }, url);
  }
});

test("a URL that the platform blocks is not retried", async () => {
  class Transport {
    constructor() {
      throw new DOMException("insecure connections are not allowed here", "SecurityError");
    }
  }
  const clock = new FakeClock();
  const socket = new Socket("ws://example.test/socket", { transport: Transport, clock, fetch: null });
  const refused = assert.rejects(socket.connect(), { name: "EndpointError", reason: "blocked", message: /insecure/ });
  await clock.advance(0);
  await refused;
  assert.deepEqual([socket.state, clock.pending], ["closed", 0]);
});

/** What a server answers to a plain request, and the reason that follows from it. */
const ANSWERS = /** @type {Array<[Partial<Response> | Error, string | null]>} */ ([
  [{ status: 404 }, "no_endpoint"],
  [{ status: 200 }, "no_endpoint"],
  [{ status: 302 }, "no_endpoint"],
  [{ status: 0, type: "opaqueredirect" }, "no_endpoint"],
  [{ status: 403 }, "forbidden"],
  [{ status: 400 }, null],
  [{ status: 426 }, null],
  [{ status: 503 }, null],
  [new TypeError("fetch failed"), null],
]);

for (const [answer, reason] of ANSWERS) {
  const what = answer instanceof Error ? answer.message : `HTTP ${answer.status || answer.type}`;
  test(`a first attempt that fails at a server with ${what} is ${reason ?? "tried again"}`, async () => {
    const asked = [];
    const fetch = async (url) => {
      asked.push(url);
      if (answer instanceof Error) throw answer;
      return answer;
    };
    const { server, clock, socket } = setUp({ fetch });
    const errors = [];
    socket.on("error", (error) => errors.push(error.reason));
    const connecting = socket.connect();
    const join = socket.channel("room:a").join();
    for (const promise of [connecting, join]) promise.catch(() => {});
    server.last.drop();
    await clock.advance(250);
    assert.deepEqual(asked, ["https://example.test/socket/websocket?vsn=2.0.0"]);
    if (reason) {
      await assert.rejects(connecting, { name: "EndpointError", reason });
      await assert.rejects(join, { name: "EndpointError", reason });
      assert.deepEqual([errors, socket.state, clock.pending], [[reason], "closed", 0]);
    } else {
      server.last.accept();
      server.last.reply("phx_join", "ok", {});
      await Promise.all([connecting, join]);
      assert.equal(asked.length, 1);
    }
  });
}

test("a server that was there before is not asked what it is", async () => {
  const { server, clock } = open({ fetch: () => assert.fail("asked") });
  for (let lost = 0; lost < 3; lost++) {
    server.last.drop();
    await clock.advance(1_000);
  }
  assert.equal(server.connections.length, 4);
});

test("the socket does not reconnect after a close for good, or for what it has sent", async () => {
  for (const [code, text, isFinal] of /** @type {const} */ ([[1000, "disconnected by the server", true], [1002, "", true], [1007, "", true], [1011, "malformed message", true], [1011, "", false], [1008, "", false], [1012, "", false]])) {
    const { server, clock, socket } = open();
    const errors = [];
    socket.on("error", ({ name, code }) => errors.push([name, code]));
    server.last.client.onclose({ code, reason: text });
    await clock.advance(1_000);
    assert.deepEqual(errors, isFinal ? [["RejectedError", code]] : []);
    assert.equal(server.connections.length, isFinal ? 1 : 2, `${code} ${text}`);
    assert.equal(socket.state, isFinal ? "closed" : "connecting");
  }
});

test("a platform without a WebSocket throws immediately", { skip: "WebSocket" in globalThis }, () => {
  assert.throws(() => new Socket("ws://example.test/socket"), { name: "TypeError", message: /give one as transport/ });
});

test("the reply schedules the next heartbeat, because hidden pages slow down chained timers", async () => {
  const { server, clock } = open();
  await clock.advance(30_000);
  await clock.advance(5_000);
  server.last.reply("heartbeat", "ok", {});
  await clock.advance(29_999);
  assert.equal(server.last.heard.length, 1);
  await clock.advance(1);
  assert.equal(server.last.heard.length, 2);
});
