/** ConnectionPool: one connection per peer, created in order, reused, and closed without loss. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { AbortedError, RefusedError, TimeoutError } from "../../web/lib/index.js";
import { ConnectionPool, PeerError, peerIdOf } from "../../web/lib/rtc/index.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Emitter } from "../../web/lib/util/emitter.js";
import { FakeClock, fakeChannelPair, seeded, settle } from "./fakes.mjs";

const SCHEDULES = 1_000;
const id = (n) => `${String(n).repeat(8)}-1111-8111-8111-111111111111`;

/** The part of Connection that a pool uses. Closing it loses messages in flight, as in WebRTC. */
class FakeConnection extends Emitter {
  isOpen = true;
  constructor({ id, name }, channel, clock) {
    super();
    this.peerId = id;
    this.peerName = name;
    this.channel = channel;
    this.opened = Promise.resolve(new RtcMessageChannel(channel, { clock }));
    channel.addEventListener("close", () => this.#end(new PeerError("lost", "gone")));
  }
  close(reason = new PeerError("closed", "closed here")) {
    this.#end(reason);
    this.channel.cut();
  }
  #end(reason) {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.emit("close", reason);
  }
}

/** Peers that connect immediately, unless the test changes that. */
class FakePeer extends Emitter {
  calls = [];
  /** What `connect` waits for. */
  gate = Promise.resolve();
  constructor(world, peerId, name = null) {
    super();
    this.id = peerId;
    this.name = name;
    this.world = world;
  }
  async join() {}
  connect(remoteId, { signal, timeout }) {
    this.calls.push({ remoteId, timeout });
    const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(new AbortedError("call"))));
    return Promise.race([aborted, this.gate.then(() => this.#open(remoteId))]);
  }
  #open(remoteId) {
    const other = this.world.peers.get(remoteId);
    if (!other) throw new PeerError("absent", `${remoteId} is not there`);
    const { clock } = this.world;
    const [a, b] = fakeChannelPair({ pace: () => this.world.pace() });
    this.world.cut = () => a.cut();
    const mine = new FakeConnection(other, a, clock);
    this.world.opened += 1;
    other.emit("connection", new FakeConnection(this, b, clock));
    return mine;
  }
}

function setUp({ random = () => 0.5, ...options } = {}) {
  const clock = new FakeClock();
  const world = { peers: new Map(), clock, opened: 0, pace: () => 1 + Math.floor(random() * 4) };
  const pools = [1, 2, 3, 4].map((n) => {
    const peer = new FakePeer(world, id(n));
    world.peers.set(peer.id, peer);
    return new ConnectionPool({ peer, clock, ...options });
  });
  return { clock, world, pools, peers: [...world.peers.values()] };
}

/** Collects what arrives at a pool, by sender. */
function listen(pool, got = []) {
  pool.onconnection = (connection) => (connection.ondata = (data) => got.push(data));
  return got;
}

async function until(condition) {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 2_000, `never came true: ${condition}`);
    await settle();
  }
}

test("onopen is called with the id when the peer has joined", async () => {
  const { pools } = setUp();
  const opened = await new Promise((resolve) => (pools[0].onopen = resolve));
  assert.deepEqual([opened, pools[0].getPeerId()], [id(1), id(1)]);
});

test("version is set; debug logs the life of connections, not their data", async (t) => {
  const said = [];
  t.mock.method(console, "log", (...words) => said.push(words.join(" ")));
  const quiet = setUp();
  await quiet.pools[0].create(id(2));
  assert.deepEqual(said, []);
  const { pools } = setUp({ debug: true });
  listen(pools[1]);
  assert.equal(pools[0].version, "1.0.0");
  await (await pools[0].create(id(2))).send("secret");
  await pools[0].destroy();
  for (const line of [`joined as ${id(1)}`, `connecting to ${id(2)}`, `open: ${id(2)}`, `closed: ${id(2)}`]) {
    assert.ok(said.includes(`handclasp pool: ${line}`), line);
  }
  assert.ok(!said.join().includes("secret"));
});

test("an open connection is reused; callback and promise get the same result", async () => {
  const { pools, world, peers } = setUp();
  const first = await pools[0].create(id(2));
  const second = await new Promise((resolve) => pools[0].create(id(2), (connection, error) => resolve([connection, error])));
  assert.deepEqual(second, [first, undefined]);
  assert.equal(first.getRemotePeerId(), id(2));
  await settle();
  const back = await pools[1].create(id(1));
  assert.equal(back.getRemotePeerId(), id(1));
  assert.equal(world.opened, 1, "the other side uses the same one");
  assert.deepEqual(peers[0].calls, [{ remoteId: id(2), timeout: 30_000 }]);
});

test("an invalid id, or the own one, is rejected with the original's message", async () => {
  const { pools } = setUp();
  for (const wrong of ["", undefined, "x".repeat(257), "\ud800", id(1)]) {
    await assert.rejects(pools[0].create(wrong), { name: "PeerError", message: "Invalid peer id." });
  }
  const error = await new Promise((resolve) => pools[0].create("", (_, error) => resolve(error)));
  assert.equal(error.reason, "invalid");
});

test("peers are known by their names, and also by their UUIDs", async () => {
  const { world, clock } = setUp();
  const names = ["alice", "node-42 ü"];
  const [alice, node] = names.map((name) => {
    const peer = new FakePeer(world, peerIdOf(name), name);
    world.peers.set(peer.id, peer);
    return new ConnectionPool({ peer, clock, connectionPoolSize: 1 });
  });
  assert.equal(await new Promise((resolve) => (alice.onopen = resolve)), "alice");
  assert.equal(alice.getPeerId(), "alice");
  const incoming = new Promise((resolve) => (node.onconnection = resolve));
  const connection = await alice.create("node-42 ü");
  assert.equal(connection.getRemotePeerId(), "node-42 ü");
  assert.equal((await incoming).getRemotePeerId(), "alice");
  assert.equal(await alice.create(peerIdOf("node-42 ü")), connection);
  assert.equal(await node.create("alice"), await incoming);
  await assert.rejects(alice.create("alice"), { message: "Invalid peer id." });
  await assert.rejects(alice.create("nobody"), { reason: "absent" });
  void alice.removeConnection("nobody");
  void alice.removeConnection("");
  await alice.removeConnection("node-42 ü");
  assert.equal(connection.isAvailable(), false);
  const newer = await alice.create("node-42 ü");
  alice.addConnection(connection);
  assert.equal(newer.isAvailable(), true, "a closed connection is not pooled again");
});

test("the pool joins again after a timeout, and reports each failure; a refusal is final", async () => {
  const clock = new FakeClock();
  for (const [failures, reasons, isOpened] of /** @type {const} */ ([
    [[new TimeoutError("join", 1), new TimeoutError("join", 1)], ["timeout", "timeout"], true],
    [[new RefusedError("join", { reason: "taken" }), null], ["taken"], false],
  ])) {
    const peer = new FakePeer({ peers: new Map(), clock }, id(1));
    const queue = [...failures];
    peer.join = async () => {
      const failure = queue.shift();
      if (failure) throw failure;
    };
    const pool = new ConnectionPool({ peer, clock });
    const got = [];
    let opened = false;
    pool.onerror = ({ reason }) => got.push(reason);
    pool.onopen = () => (opened = true);
    await settle();
    assert.deepEqual([got, opened], [reasons, isOpened]);
  }
});

test("connections are created in request order; a failure does not block the next one", async () => {
  const { pools, peers } = setUp();
  const done = [];
  const all = [id(3), id(9), id(2)].map((remote) => pools[0].create(remote).then(() => done.push(remote), (error) => done.push(error.reason)));
  await Promise.all(all);
  assert.deepEqual(done, [id(3), "absent", id(2)]);
  assert.deepEqual(peers[0].calls.map(({ remoteId }) => remoteId), [id(3), id(9), id(2)]);
});

test("an aborted creation rejects immediately, in the queue or at its head, and the others go on", async () => {
  const { pools, peers } = setUp();
  let open;
  peers[0].gate = new Promise((resolve) => (open = resolve));
  const [head, queued] = [new AbortController(), new AbortController()];
  const first = assert.rejects(pools[0].create(id(2), { signal: head.signal }), { name: "AbortedError" });
  const second = assert.rejects(pools[0].create(id(3), { signal: queued.signal }), { name: "AbortedError" });
  const third = pools[0].create(id(4));
  queued.abort();
  await second;
  head.abort();
  await first;
  open();
  assert.equal((await third).getRemotePeerId(), id(4));
  assert.deepEqual(peers[0].calls.map(({ remoteId }) => remoteId), [id(2), id(4)]);
});

test("messages of any size and form arrive complete and in order, as they were when sent", async () => {
  const { pools } = setUp();
  const got = listen(pools[1]);
  const connection = await pools[0].create(id(2));
  const bytes = Uint8Array.from({ length: 200_001 }, (_, at) => at);
  const long = "ü".repeat(40_000);
  const object = { n: 1 };
  const sends = [connection.send(object), connection.send(bytes), connection.send(long), connection.send(new ArrayBuffer(0)), connection.send(null)];
  object.n = 2;
  bytes.fill(0);
  await Promise.all(sends);
  await until(() => got.length === 5);
  assert.deepEqual([got[0], got[2], got[4]], [{ n: 1 }, long, null]);
  assert.deepEqual([got[1].byteLength, new Uint8Array(got[1])[200_000], got[3].byteLength], [200_001, 200_000 % 256, 0]);
  await assert.rejects(connection.send(new Uint8Array(17 * 1024 * 1024)), RangeError);
  for (const wrong of [undefined, new Blob(["x"]), { list: [new Uint8Array(1)] }, { chunk: new ArrayBuffer(1) }]) {
    await assert.rejects(connection.send(wrong), TypeError);
  }
});

test("a message that is aborted in the queue is never sent; one whose sending has begun is sent completely", async () => {
  const { pools, world } = setUp();
  const got = listen(pools[1]);
  const connection = await pools[0].create(id(2));
  const { pace } = world;
  world.pace = () => 0;
  const [begun, waiting] = [new AbortController(), new AbortController()];
  const first = assert.rejects(connection.send(new Uint8Array(500_000), { signal: begun.signal }), { name: "AbortedError" });
  const second = assert.rejects(connection.send("never", { signal: waiting.signal }), { name: "AbortedError" });
  const third = connection.send("after");
  await settle();
  begun.abort();
  waiting.abort();
  await Promise.all([first, second]);
  world.pace = pace;
  await third;
  await until(() => got.length === 2);
  assert.deepEqual([got[0].byteLength, got[1]], [500_000, "after"]);
});

test("beyond its size the pool destroys the least recently used connection", async () => {
  const { pools } = setUp({ connectionPoolSize: 2 });
  const two = await pools[0].create(id(2));
  const three = await pools[0].create(id(3));
  await two.send("used");
  await pools[0].create(id(4));
  assert.deepEqual([two.isAvailable(), three.isAvailable()], [true, false]);
});

test("a connection that is never used is destroyed; one that was used is kept, by both sides", async () => {
  const { pools, clock } = setUp();
  const got = listen(pools[1]);
  const [used, unused] = [await pools[0].create(id(2)), await pools[0].create(id(3))];
  await clock.advance(179_999);
  await used.send("first");
  await until(() => got.length === 1);
  assert.equal(unused.isAvailable(), true);
  await clock.advance(1);
  assert.equal(unused.isAvailable(), false);
  await unused.closed;
  await clock.advance(1_000_000);
  assert.equal(used.isAvailable(), true);
  await used.send("second");
  await until(() => got.length === 2);
});

test("closing is limited in time if the other side does not answer", async () => {
  const { pools, clock, world } = setUp();
  const connection = await pools[0].create(id(2));
  world.pace = () => 0;
  let closed = false;
  void connection.destroy().then(() => (closed = true));
  await assert.rejects(connection.send("late"), { reason: "closed" });
  // The other side's end never comes: its channel delivers nothing any more.
  assert.equal(closed, false);
  await clock.advance(30_000);
  await connection.closed;
});

test("a connection that breaks calls onerror and leaves the pool, and the next creation opens a new one", async () => {
  const { pools, world } = setUp();
  const connection = await pools[0].create(id(2));
  const theirs = await pools[1].create(id(1));
  const broken = Promise.all([connection, theirs].map((end) => new Promise((resolve) => (end.onerror = resolve))));
  world.cut();
  assert.deepEqual((await broken).map(({ reason }) => reason), ["lost", "lost"]);
  assert.equal(connection.isAvailable(), false);
  assert.notEqual(await pools[0].create(id(2)), connection);
  assert.equal(world.opened, 2);
});

test("an orderly close is not an error on either side", async () => {
  const { pools } = setUp();
  const connection = await pools[0].create(id(2));
  const theirs = await pools[1].create(id(1));
  const errors = [];
  for (const end of [connection, theirs]) end.onerror = (error) => errors.push(error);
  await connection.destroy();
  await theirs.closed;
  assert.deepEqual(errors, []);
});

test("destroying the pool aborts pending creations and leaves nothing behind", async () => {
  const { pools, peers, clock } = setUp();
  const got = listen(pools[1]);
  const connection = await pools[0].create(id(2));
  peers[0].gate = new Promise(() => {});
  const waiting = assert.rejects(pools[0].create(id(3)), { name: "AbortedError" });
  void connection.send("last words");
  await pools[0].destroy();
  await waiting;
  assert.deepEqual(got, ["last words"]);
  await Promise.all(pools.map((pool) => pool.destroy()));
  assert.equal(clock.pending, 0);
});

test("in any order of use, close and eviction, every sent message arrives once and in order", async () => {
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const random = seeded(seed);
    const pick = (list) => list[Math.floor(random() * list.length)];
    const { pools, clock } = setUp({ random, connectionPoolSize: 2 });
    /** @type {Map<string, number[]>} by direction */
    const sent = new Map();
    const got = new Map();
    const note = (book, key, value) => book.set(key, [...(book.get(key) ?? []), value]);
    const hear = (pool, connection) => {
      const key = `${connection.getRemotePeerId()} ${pool.getPeerId()}`;
      connection.ondata ??= (value) => note(got, key, value);
    };
    pools.forEach((pool) => (pool.onconnection = (connection) => hear(pool, connection)));
    let number = 0;
    const work = [];
    const act = async (pool) => {
      const connection = await pool.create(pick([1, 2, 3, 4].map(id).filter((other) => other !== pool.getPeerId())));
      hear(pool, connection);
      for (let count = Math.floor(random() * 4); count > 0; count--) {
        const value = ++number;
        const sending = connection.send(value);
        await sending.then(() => note(sent, `${pool.getPeerId()} ${connection.getRemotePeerId()}`, value), () => {});
      }
      if (random() < 0.3) void connection.destroy();
    };
    for (let step = 0; step < 12; step++) {
      work.push(act(pick(pools)));
      for (let turns = Math.floor(random() * 6); turns > 0; turns--) await settle();
    }
    await Promise.all(work);
    await Promise.all(pools.map((pool) => pool.destroy()));
    assert.deepEqual(new Map([...got].sort()), new Map([...sent].sort()), `seed ${seed}`);
    assert.equal(clock.pending, 0, `seed ${seed} left timers`);
  }
});
