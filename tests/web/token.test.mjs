/** Tokens of a socket: where they travel, when they are asked for and replaced, and what their refusal means. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Socket, TokenError } from "../../web/lib/index.js";
import { FakeClock, FakeServer, settle } from "./fakes.mjs";

const REASONS = ["token missing", "token invalid", "token expired", "token not yet valid", "token revoked", "token key unknown"];
/** A WebSocket does not tell a browser of an HTTP status. */
const HIDDEN = 1006;

function setUp(options = {}) {
  const server = new FakeServer();
  const clock = new FakeClock();
  const errors = [];
  const socket = new Socket("wss://example.test/socket", { transport: server.Transport, clock, network: new EventTarget(), fetch: null, random: () => 1, ...options });
  socket.on("error", (error) => errors.push(error));
  return { server, clock, socket, errors };
}

/** Tokens `t1`, `t2`… as an application gives them. */
function counted() {
  let count = 0;
  const token = async () => `t${++count}`;
  return Object.assign(token, { count: () => count });
}

/** @param {string[] | undefined} protocols */
function tokenIn(protocols) {
  const prefix = "base64url.bearer.phx.";
  assert.equal(protocols?.[0], "phoenix");
  assert.ok(protocols[1].startsWith(prefix), protocols[1]);
  assert.match(protocols[1], /^[A-Za-z0-9._-]+$/, "a subprotocol is a token of HTTP");
  return Buffer.from(protocols[1].slice(prefix.length), "base64url").toString();
}

/** A socket whose room is joined with a token that lives for some seconds. */
async function joined(options, life = 100) {
  const all = setUp(options);
  const channel = all.socket.channel("room:a");
  const join = channel.join();
  await settle();
  all.server.last.accept();
  all.server.last.reply("phx_join", "ok", { expires_in: life });
  await join;
  return { ...all, channel };
}

/** What answers a plain request at the socket's URL. */
function answering(status, text, asked = []) {
  return async (url, { headers }) => {
    asked.push([url, headers]);
    return { type: "basic", status, body: new Blob([text]).stream() };
  };
}

/** @param {FakeServer} server */
const refreshes = (server) => server.connections.flatMap(({ heard }) => heard.filter(([, , , event]) => event === "access_token"));

test("a token travels as a subprotocol, and stands in no URL", async () => {
  for (const token of ["a.b_c-d", () => "a.b_c-d", async () => "a.b_c-d"]) {
    const { server, socket } = setUp({ token });
    socket.connect();
    await settle();
    assert.equal(tokenIn(server.last.protocols), "a.b_c-d");
    assert.equal(server.last.url, "wss://example.test/socket/websocket?vsn=2.0.0");
  }
});

test("without a token, or with an empty one, no subprotocol is offered", async () => {
  for (const options of [{}, { token: "" }, { token: async () => "" }]) {
    const { server, socket } = setUp(options);
    socket.connect();
    await settle();
    assert.equal(server.last.protocols, undefined);
  }
});

test("the token is asked for at each attempt", async () => {
  const token = counted();
  const { server, clock } = await joined({ token });
  server.last.drop();
  await clock.advance(250);
  server.last.drop();
  await clock.advance(500);
  assert.deepEqual(server.connections.map(({ protocols }) => tokenIn(protocols)), ["t1", "t2", "t3"]);
});

test("a token is replaced after 80 % of its life, once for all topics of the socket", async () => {
  const token = counted();
  const { server, clock, socket } = await joined({ token, heartbeatInterval: 1e9 });
  await clock.advance(40_000);
  const other = socket.channel("room:b").join();
  server.last.reply("phx_join", "ok", { expires_in: 60 });
  await other;
  await clock.advance(39_999);
  assert.equal(token.count(), 1);
  await clock.advance(1);
  const [[joinRef, , topic, , payload], ...more] = refreshes(server);
  assert.deepEqual([topic, payload, more], ["room:a", { access_token: "t2" }, []]);
  assert.equal(joinRef, server.last.heard[0][0]);
  server.last.reply("access_token", "ok", { expires_in: 200 });
  await clock.advance(159_999);
  assert.equal(token.count(), 2);
  await clock.advance(1);
  assert.deepEqual([token.count(), server.connections.length], [3, 1]);
});

test("a fixed token is never replaced", async () => {
  const { server, clock, socket } = await joined({ token: "a" }, 10);
  await clock.advance(20_000);
  assert.deepEqual(refreshes(server), []);
  socket.disconnect();
  assert.equal(clock.pending, 0);
});

test("a server without tokens tells no life, so none is replaced", async () => {
  const token = counted();
  const { server, clock } = await joined({ token }, undefined);
  await clock.advance(29_000);
  assert.deepEqual([refreshes(server), token.count()], [[], 1]);
});

test("a short or nonsensical life does not make the socket ask in a loop", async () => {
  for (const [life, most] of [[0, 10], [0.001, 10], [-5, 1], [NaN, 1], ["9", 1], [1e300, 1]]) {
    const token = counted();
    const { server, clock } = await joined({ token }, /** @type {any} */ (life));
    for (let step = 0; step < 90; step++) {
      await clock.advance(100);
      if (server.last.lastOf("access_token")) server.last.reply("access_token", "ok", { expires_in: life });
    }
    assert.ok(token.count() <= most, `${life}: ${token.count()}`);
    assert.ok(clock.longest < 2 ** 31, "timers of browsers wrap around");
  }
});

test("when no topic is joined any more, the next join plans the refresh", async () => {
  const token = counted();
  const { server, clock, socket, channel } = await joined({ token }, 10);
  channel.leave().catch(() => {});
  await clock.advance(8_000);
  assert.deepEqual(refreshes(server), []);
  const join = socket.channel("room:b").join();
  server.last.reply("phx_join", "ok", { expires_in: 2 });
  await join;
  await clock.advance(1_600);
  assert.equal(refreshes(server)[0][2], "room:b");
});

test("a connection that is lost while a token is asked for gets no refresh", async () => {
  let give;
  let count = 0;
  const signals = [];
  const token = ({ signal }) => (signals.push(signal), ++count === 2 ? new Promise((resolve) => (give = resolve)) : "a");
  const { server, clock, errors } = await joined({ token }, 10);
  await clock.advance(8_000);
  server.last.drop();
  assert.equal(signals[1].aborted, true);
  await clock.advance(250);
  server.last.accept();
  give("late");
  await settle();
  assert.deepEqual([refreshes(server), errors, count], [[], [], 3]);
});

test("other grants than before: the server closes with 1001, and the socket reconnects with the next token", async () => {
  const { server, clock } = await joined({ token: counted() }, 10);
  await clock.advance(8_000);
  server.last.reply("access_token", "ok", { expires_in: 10 });
  server.last.drop(1001);
  await clock.advance(250);
  assert.equal(tokenIn(server.last.protocols), "t3");
});

test("a refused refresh is an error, is tried once more, and leaves the connection open", async () => {
  const { server, clock, socket, errors } = await joined({ token: counted() }, 10);
  await clock.advance(8_000);
  server.last.reply("access_token", "error", { reason: "token revoked" });
  await clock.advance(1_000);
  assert.equal(refreshes(server).length, 2);
  server.last.reply("access_token", "error", { reason: "token revoked" });
  await clock.advance(20_000);
  assert.deepEqual(errors.map(({ name, reason }) => [name, reason]), Array(2).fill(["TokenError", "token revoked"]));
  assert.deepEqual([refreshes(server).length, socket.state], [2, "open"]);
});

test("a token of another subject is an error, and is not tried again", async () => {
  const { server, clock, errors } = await joined({ token: counted() }, 10);
  await clock.advance(8_000);
  server.last.reply("access_token", "error", { reason: "not allowed" });
  await clock.advance(20_000);
  assert.deepEqual(errors.map(({ name, reason }) => [name, reason]), [["PermissionError", "not allowed"]]);
  assert.equal(refreshes(server).length, 1);
});

test("a refresh without an answer, of a busy server, or without a token is tried again", async () => {
  let count = 0;
  const token = () => {
    count += 1;
    if (count === 4) throw new Error("no network");
    return `t${count}`;
  };
  const { server, clock, errors } = await joined({ token, heartbeatInterval: 1e9 }, 10);
  await clock.advance(8_000 + 10_000 + 1_000);
  server.last.reply("access_token", "error", { reason: "rate_limited" });
  await clock.advance(2_000 + 4_000);
  server.last.reply("access_token", "ok", { expires_in: 100 });
  await clock.advance(10_000);
  assert.deepEqual(errors.map(({ reason }) => reason), ["timeout", "rate_limited", "token_unavailable"]);
  assert.equal(refreshes(server).length, 3);
  assert.equal(errors[2].cause.message, "no network");
});

test("disconnect before a refresh leaves no timer", async () => {
  const { clock, socket } = await joined({ token: counted() }, 10);
  socket.disconnect();
  assert.equal(clock.pending, 0);
});

test("disconnect during a refresh leaves no timer", async () => {
  for (const isAnswered of [false, true]) {
    const { server, clock, socket, errors } = await joined({ token: counted() }, 10);
    socket.on("error", () => socket.disconnect());
    await clock.advance(8_000);
    if (isAnswered) server.last.reply("access_token", "error", { reason: "token expired" });
    await settle();
    socket.disconnect();
    await clock.advance(60_000);
    assert.deepEqual([clock.pending, server.connections.length, errors.length], [0, 1, isAnswered ? 1 : 0]);
  }
});

for (const reason of REASONS) {
  test(`${reason}: the token is asked for once more, then the socket gives up`, async () => {
    const token = counted();
    const { server, clock, socket, errors } = setUp({ token });
    const join = assert.rejects(socket.channel("room:a").join({ timeout: 60_000 }), { name: "TokenError", reason });
    await settle();
    for (const wait of [250, 0]) {
      server.last.accept();
      server.last.drop(1008, reason);
      await clock.advance(wait);
    }
    await join;
    await clock.advance(60_000);
    assert.deepEqual([token.count(), errors.map((error) => error.reason), socket.state, clock.pending], [2, [reason], "closed", 0]);
    assert.ok(!errors[0].message.includes("t2"), "no message has the token");
  });
}

test("a fixed token that is refused is not sent again", async () => {
  for (const options of [{ token: "a" }, { params: { token: "a" } }, {}]) {
    const { server, clock, socket, errors } = setUp(options);
    const connecting = socket.connect();
    server.last.accept();
    await connecting;
    server.last.drop(1008, "token expired");
    await clock.advance(60_000);
    assert.deepEqual([server.connections.length, errors.map(({ reason }) => reason), socket.state], [1, ["token expired"], "closed"]);
  }
});

test("an accepted token that expires later is no refusal: the next one may be refused once", async () => {
  const { server, clock, socket } = await joined({ token: counted() }, undefined);
  for (const wait of [250, 250]) {
    server.last.drop(1008, "token expired");
    await clock.advance(wait);
    server.last.accept();
  }
  assert.equal(socket.state, "open");
  server.last.reply("phx_join", "ok", {});
  for (let refusals = 0; refusals < 2; refusals++) {
    server.last.drop(1008, "token expired");
    await clock.advance(250);
    server.last.accept();
  }
  assert.deepEqual([socket.state, server.connections.length], ["open", 5]);
  server.last.drop(1008, "token expired");
  assert.equal(socket.state, "closed");
});

test("a close for another cause with the same code is retried as before", async () => {
  const { server, clock } = await joined({ token: "a" });
  server.last.drop(1008, "too slow");
  await clock.advance(250);
  assert.equal(server.connections.length, 2);
});

test("a refusal that the browser hides is found by a request with the token in a header", async () => {
  const asked = [];
  const token = counted();
  const { server, clock, socket } = setUp({ token, fetch: answering(403, "token invalid", asked) });
  const connecting = assert.rejects(socket.connect(), { name: "TokenError", reason: "token invalid" });
  await settle();
  server.last.drop(HIDDEN);
  await clock.advance(250);
  server.last.drop(HIDDEN);
  await settle();
  await connecting;
  const url = "https://example.test/socket/websocket?vsn=2.0.0";
  assert.deepEqual(asked, [[url, { "X-Phoenix-AuthToken": "t1" }], [url, { "X-Phoenix-AuthToken": "t2" }]]);
  assert.deepEqual([socket.state, token.count(), clock.pending], ["closed", 2, 0]);
});

test("a token that was good before may be refused at a reconnect", async () => {
  const asked = [];
  const { server, clock, channel, socket } = await joined({ token: "a", fetch: answering(403, "token invalid", asked) });
  server.last.drop();
  await settle();
  assert.equal(asked.length, 0, "the connection was open");
  await clock.advance(250);
  server.last.drop(HIDDEN);
  await settle();
  assert.deepEqual([channel.state, socket.state, asked.length], ["closed", "closed", 1]);
});

test("a key that the server does not know yet ends nothing", async () => {
  const { server, clock, socket } = await joined({ token: "a", fetch: answering(403, "token key unknown") });
  server.last.drop();
  await clock.advance(250);
  server.last.drop(HIDDEN);
  await settle();
  assert.equal(socket.state, "waiting");
});

test("a subject with too many sockets learns it at each attempt, and connects once one is free", async () => {
  for (const token of ["a", () => "a"]) {
    const { server, clock, socket } = setUp({ token, fetch: answering(429, "too many sockets") });
    const errors = [];
    let delay = 0;
    socket.on("error", (error) => errors.push([error.name, error.reason]));
    socket.on("waiting", (ms) => (delay = ms));
    const connecting = socket.connect();
    for (let attempt = 1; attempt < 5; attempt += 1) {
      await settle();
      server.last.drop(HIDDEN);
      await settle();
      assert.deepEqual([errors.length, socket.state], [attempt, "waiting"]);
      await clock.advance(delay);
    }
    await settle();
    server.last.accept();
    await connecting;
    assert.deepEqual(errors[0], ["TokenError", "too many sockets"]);
  }
});

test("another limit of the server is no fault of the token", async () => {
  const { server, socket } = setUp({ token: "a", fetch: answering(429, "too many connections from this address") });
  socket.on("error", assert.fail);
  socket.connect().catch(() => {});
  await settle();
  server.last.drop(HIDDEN);
  await settle();
  assert.equal(socket.state, "waiting");
});

test("at a reconnect, what a proxy answers for a server that restarts ends nothing", async () => {
  for (const [status, text] of [[404, ""], [403, "<html>"], [200, "<html>"], [403, "token missing"]]) {
    const { server, clock, socket } = await joined({ token: "a", fetch: answering(status, text) });
    server.last.drop();
    await clock.advance(250);
    server.last.drop(HIDDEN);
    await settle();
    assert.equal(socket.state, "waiting", `${status} ${text}`);
  }
});

test("a page without a token learns that the server needs one", async () => {
  const { server, socket } = setUp({ fetch: answering(403, "token missing") });
  const connecting = assert.rejects(socket.connect(), { name: "TokenError", reason: "token missing" });
  server.last.drop(HIDDEN);
  await connecting;
});

const FAULTS = /** @type {Record<string, (options: {signal: AbortSignal}) => any>} */ ({
  throws: () => {
    throw new Error("boom");
  },
  rejects: async () => {
    throw new Error("boom");
  },
  "returns no text": async () => ({ token: "a" }),
  "returns nothing": () => undefined,
});
for (const [what, token] of Object.entries(FAULTS)) {
  test(`a token function that ${what} is tried twice before the first connection, then the socket gives up`, async () => {
    const { server, clock, socket, errors } = setUp({ token });
    const join = assert.rejects(socket.channel("room:a").join({ timeout: 60_000 }), { name: "TokenError", reason: "token_unavailable" });
    await clock.advance(250);
    await join;
    assert.deepEqual([errors.map(({ reason }) => reason), server.connections.length, clock.pending], [Array(2).fill("token_unavailable"), 0, 0]);
  });
}

test("a token function that hangs is given up after the timeout, and told so", async () => {
  const signals = [];
  const token = ({ signal }) => (signals.push(signal), new Promise(() => {}));
  const { clock, socket, errors } = setUp({ token });
  const connecting = assert.rejects(socket.connect(), { reason: "token_unavailable" });
  await clock.advance(9_999);
  assert.deepEqual([errors, signals[0].aborted], [[], false]);
  await clock.advance(1);
  assert.deepEqual([errors.length, signals[0].aborted, errors[0].cause.name], [1, true, "TimeoutError"]);
  await clock.advance(250 + 10_000);
  await connecting;
  assert.deepEqual([signals.length, signals[1].aborted, clock.pending], [2, true, 0]);
});

test("a token function that throws a TokenError ends the socket: the application knows better", async () => {
  let isSignedIn = true;
  const token = () => {
    if (!isSignedIn) throw new TokenError("token missing", "signed out");
    return "a";
  };
  const { server, clock, socket, errors } = await joined({ token });
  isSignedIn = false;
  server.last.drop();
  await clock.advance(250);
  assert.deepEqual([socket.state, errors.map(({ message }) => message)], ["closed", ["signed out"]]);
});

test("after a connection, a token function that fails is tried again with increasing delays", async () => {
  let isDown = false;
  const token = () => {
    if (isDown) throw new TypeError("Failed to fetch");
    return "a";
  };
  const { server, clock, socket, errors } = await joined({ token });
  const waits = [];
  socket.on("waiting", (ms) => waits.push(ms));
  isDown = true;
  server.last.drop();
  await clock.advance(60_000);
  assert.deepEqual(waits.slice(0, 7), [250, 500, 1000, 2000, 4000, 8000, 15000]);
  assert.ok(errors.every(({ reason }) => reason === "token_unavailable"));
  isDown = false;
  for (let second = 0; second < 15 && server.connections.length < 2; second++) await clock.advance(1_000);
  server.last.accept();
  assert.equal(socket.state, "open");
});

test("a socket that is disconnected while its token is asked for opens no connection", async () => {
  let give;
  const { server, clock, socket } = setUp({ token: () => new Promise((resolve) => (give = resolve)) });
  const connecting = assert.rejects(socket.connect(), { name: "DisconnectedError" });
  socket.disconnect();
  give("a");
  await settle();
  await connecting;
  assert.deepEqual([server.connections.length, socket.state, clock.pending], [0, "closed", 0]);
  socket.connect();
  give("b");
  await settle();
  assert.equal(tokenIn(server.last.protocols), "b");
});

test("a socket that gave up may connect again", async () => {
  const { server, clock, socket } = setUp({ token: counted() });
  for (let round = 0; round < 2; round++) {
    socket.connect();
    await settle();
    for (const wait of [250, 0]) {
      server.last.accept();
      server.last.drop(1008, "token expired");
      await clock.advance(wait);
    }
    assert.equal(socket.state, "closed");
  }
  assert.equal(server.connections.length, 4);
});

test("what a token does not grant is a PermissionError, for joins and pushes", async () => {
  const { server, socket, channel } = await joined({ token: "a" });
  const push = assert.rejects(channel.push("shout"), { name: "PermissionError", reason: "not allowed" });
  server.last.reply("shout", "error", { reason: "not allowed" });
  await push;
  const join = assert.rejects(socket.channel("room:b").join(), { name: "PermissionError" });
  server.last.reply("phx_join", "error", { reason: "not allowed" });
  await join;
});
