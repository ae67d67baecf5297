/** Channel: rejoining after a lost connection, a crash of the server's channel, or a refusal. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { comeBack, joined } from "./channel-setup.mjs";

test("after a lost connection the channel rejoins with a new join_ref; messages of the old one are dropped", async () => {
  const all = await joined();
  const { server, channel } = all;
  const [oldRef] = server.last.lastOf("phx_join");
  const heard = [];
  channel.on("said", (payload) => heard.push(payload));
  await comeBack(all);
  const [newRef] = server.last.lastOf("phx_join");
  assert.notEqual(newRef, oldRef);
  server.last.reply("phx_join", "ok", {});
  server.last.say([oldRef, null, "room:a", "said", "stale"]);
  server.last.say([oldRef, oldRef, "room:a", "phx_close", {}]);
  server.last.say([newRef, null, "room:a", "said", "current"]);
  assert.deepEqual(heard, ["current"]);
  assert.equal(channel.state, "joined");
});

test("params may be a function, which is called for each join", async () => {
  let count = 0;
  const all = await joined(() => ({ count: ++count }));
  await comeBack(all);
  assert.deepEqual(all.server.last.lastOf("phx_join")[4], { count: 2 });
});

test("when the connection breaks, pushes that were sent are rejected, and buffered ones are sent later, in order", async () => {
  const all = await joined();
  const { server, channel } = all;
  const lost = assert.rejects(channel.push("before"), { name: "DisconnectedError" });
  server.last.drop();
  await lost;
  const later = [channel.push("one"), channel.push("two")];
  channel.onState((state) => state === "joined" && later.push(channel.push("three")));
  await all.clock.advance(250);
  server.last.accept();
  assert.equal(server.last.lastOf("one"), undefined);
  server.last.reply("phx_join", "ok", {});
  assert.deepEqual(server.last.heard.map(([, , , event]) => event), ["phx_join", "one", "two", "three"]);
  for (const event of ["one", "two", "three"]) server.last.reply(event, "ok", { event });
  assert.deepEqual(await Promise.all(later), [{ event: "one" }, { event: "two" }, { event: "three" }]);
});

test("a crashed channel rejoins with increasing delays until it stays joined", async () => {
  const { server, clock, channel } = await joined();
  const refs = () => server.last.heard.filter((message) => message[3] === "phx_join").map(([ref]) => ref);
  const pushed = assert.rejects(channel.push("boom"), { name: "DisconnectedError", message: /crashed/ });
  server.last.say([refs()[0], refs()[0], "room:a", "phx_error", { reason: "channel_crash" }]);
  await pushed;
  assert.equal(channel.state, "errored");
  await clock.advance(999);
  assert.equal(refs().length, 1);
  await clock.advance(1);
  assert.equal(refs().length, 2);
  server.last.reply("phx_join", "error", { reason: "overloaded" });
  await clock.advance(1_999);
  assert.equal(refs().length, 2);
  await clock.advance(1);
  server.last.reply("phx_join", "ok", {});
  assert.equal(channel.state, "joined");
  assert.equal(new Set(refs()).size, 3);
});

test("a rejoin that is refused for good closes the channel with the refusal", async () => {
  const all = await joined();
  const { server, clock, channel, socket } = all;
  const states = [];
  channel.onState((state, detail) => states.push([state, detail?.reason]));
  await comeBack(all);
  server.last.reply("phx_join", "error", { reason: "unproven" });
  assert.deepEqual(states.at(-1), ["closed", "unproven"]);
  socket.disconnect();
  assert.equal(clock.pending, 0);
});

test("a rejoin that is refused because the lost connection's session still has the topic is tried again until it is over", async () => {
  const all = await joined();
  const { server, clock, channel } = all;
  await comeBack(all);
  const buffered = channel.push("meanwhile");
  for (const delay of [1_000, 2_000, 4_000]) {
    server.last.reply("phx_join", "error", { reason: "taken" });
    assert.equal(channel.state, "errored");
    await clock.advance(delay);
    assert.equal(channel.state, "joining");
  }
  server.last.reply("phx_join", "ok", {});
  assert.equal(channel.state, "joined");
  server.last.reply("meanwhile", "ok", {});
  await buffered;
});

test("a topic that another client has taken over is reported when the lost connection's session must be over", async () => {
  const all = await joined();
  const { server, clock, channel } = all;
  const states = [];
  channel.onState((state, detail) => states.push([state, detail?.reason]));
  await comeBack(all);
  const lostAt = clock.now() - 250;
  while (channel.state === "joining") {
    server.last.reply("phx_join", "error", { reason: "taken" });
    if (channel.state === "errored") await clock.advance(10_000);
    if (server.last.lastOf("heartbeat")) server.last.reply("heartbeat", "ok", {});
  }
  assert.deepEqual(states.at(-1), ["closed", "taken"]);
  const waited = clock.now() - lostAt;
  assert.ok(waited >= 60_000 && waited <= 80_000, `${waited} ms`);
  // The first join of a client that has lost no connection.
  const again = channel.join();
  server.last.reply("phx_join", "error", { reason: "taken" });
  await assert.rejects(again, { reason: "taken" });
});

test("attempts to connect that fail do not extend the time in which a topic counts as held", async () => {
  const all = await joined();
  const { server, clock, channel } = all;
  server.last.drop();
  while (clock.now() < 60_000) {
    await clock.advance(15_000);
    server.last.drop();
  }
  await clock.advance(15_000);
  server.last.accept();
  server.last.reply("phx_join", "error", { reason: "taken" });
  assert.equal(channel.state, "closed");
});

test("a rejoin without a reply is followed by a leave and retried", async () => {
  const all = await joined();
  await comeBack(all);
  const { server, clock, channel } = all;
  await clock.advance(10_000);
  assert.equal(server.last.lastOf("phx_leave")[0], server.last.lastOf("phx_join")[0]);
  await clock.advance(1_000);
  assert.equal(server.last.heard.filter((message) => message[3] === "phx_join").length, 2);
  server.last.reply("phx_join", "ok", {});
  assert.equal(channel.state, "joined");
});
