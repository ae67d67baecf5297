/** A file's way over a link: whole and agreed on, or an explicit error; never a hang. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { Link, MemorySink, Meter, Receiver, Sender, digest } from "../../web/lib/index.js";
import { FakeClock, fakeChannelPair, seeded } from "./fake.mjs";

const MIB = 1024 * 1024;

function setUp({ bytes = randomBytes(3 * MIB + 17), name = "a.bin", pace, file, hash } = {}) {
  const clock = new FakeClock();
  const ends = fakeChannelPair({ pace });
  const [ours, theirs] = ends.map((end) => new Link(end, { clock }));
  const source = file ?? new File([bytes], name);
  const sender = new Sender(ours, source, hash ?? (() => digest(source)));
  const receiver = new Receiver(theirs);
  return { bytes, clock, ends, sender, receiver, links: [ours, theirs] };
}

/** Runs both ends and says how each one ended. */
async function run({ sender, receiver }, sink = (size) => new MemorySink(size)) {
  const receive = async () => {
    const announced = await receiver.announcement();
    return { announced, ...(await receiver.download(sink(announced.size))) };
  };
  return Promise.allSettled([sender.run(), receive()]);
}

const reasons = (results) => results.map(({ reason }) => reason?.reason);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

for (const size of [0, 1, 65_536, MIB - 1, MIB, MIB + 1, 6 * MIB]) {
  test(`${size} bytes arrive whole and both sides agree`, async () => {
    const all = setUp({ bytes: randomBytes(size) });
    const [sent, received] = await run(all);
    assert.equal(sent.value, sha256(all.bytes));
    assert.equal(received.value.sha256, sent.value);
    assert.deepEqual(received.value.announced, { name: "a.bin", size });
    assert.ok(Buffer.from(await received.value.file.arrayBuffer()).equals(all.bytes));
  });
}

test("the queue is bounded by 256 KiB, the pieces asked for by the window", async () => {
  const all = setUp({ bytes: randomBytes(8 * MIB) });
  let asked = 0;
  let written = 0;
  all.ends[0].addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "pull") asked += 1;
    assert.ok(asked * MIB - written <= 4 * MIB, "more was asked for than the window allows");
  });
  const sink = (size) => {
    const memory = new MemorySink(size);
    const write = memory.write.bind(memory);
    memory.write = async (bytes) => {
      await new Promise((resolve) => setTimeout(resolve, 2));
      await write(bytes);
      written += bytes.length;
    };
    return memory;
  };
  const [sent] = await run(all, sink);
  assert.equal(sent.status, "fulfilled");
  assert.ok(all.ends[0].peak <= 256 * 1024, `${all.ends[0].peak} bytes were queued`);
});

test("progress is what was written, on both sides, and ends at the whole", async () => {
  const all = setUp();
  const seen = { sender: [], receiver: [] };
  for (const side of ["sender", "receiver"]) all[side].on("progress", (written) => seen[side].push(written));
  await run(all);
  for (const steps of Object.values(seen)) {
    assert.deepEqual(steps, steps.toSorted((a, b) => a - b));
    assert.equal(steps.at(-1), all.bytes.length);
  }
});

test("nobody says done before the hash is agreed", async () => {
  let agree = () => {};
  const hash = new Promise((resolve) => (agree = resolve));
  const all = setUp({ hash: () => hash });
  let over = 0;
  const both = run(all).finally(() => (over += 1));
  await new Promise((resolve) => {
    all.ends[0].addEventListener("message", ({ data }) => JSON.parse(data).type === "written" && resolve());
  });
  assert.equal(over, 0);
  agree(sha256(all.bytes));
  assert.deepEqual((await both).map(({ status }) => status), ["fulfilled", "fulfilled"]);
});

test("any pace gives the same bytes, and a cut anywhere gives an error on both sides", async () => {
  const bytes = randomBytes(2 * MIB + 333);
  for (let seed = 0; seed < 150; seed++) {
    const random = seeded(seed);
    const all = setUp({ bytes, pace: () => 1 + Math.floor(random() * 9) });
    const cutAfter = seed % 3 === 0 ? Infinity : Math.floor(random() * 50);
    let messages = 0;
    for (const end of all.ends) end.addEventListener("message", () => ++messages === cutAfter && end.cut());
    const [sent, received] = await run(all);
    const outcome = `seed ${seed}: ${[sent, received].map(({ status, reason }) => reason?.reason ?? status)}`;
    // A receiver that says done is right, and its sender has said so before.
    if (received.status === "fulfilled") {
      assert.ok(Buffer.from(await received.value.file.arrayBuffer()).equals(bytes), outcome);
      assert.equal(sent.status, "fulfilled", outcome);
    } else {
      assert.ok(messages >= cutAfter, outcome);
      assert.equal(received.reason.reason, "lost", outcome);
      assert.ok(sent.status === "fulfilled" || sent.reason.reason === "lost", outcome);
    }
  }
});

test("a byte changed on the way is noticed by its piece", async () => {
  const all = setUp();
  let count = 0;
  all.ends[0].tamper = (data) => {
    if (typeof data === "string" || ++count !== 20) return data;
    const changed = data.slice();
    new Uint8Array(changed)[5] ^= 1;
    return changed;
  };
  assert.deepEqual(reasons(await run(all)), ["refused", "hash"]);
});

test("a file that changed after it was hashed is noticed at the end, by both", async () => {
  const all = setUp({ hash: async () => sha256("another file") });
  assert.deepEqual(reasons(await run(all)), ["hash", "hash"]);
});

test("a file that cannot be read any more is said to be so", async () => {
  const gone = { name: "x", size: 2 * MIB, slice: () => ({ arrayBuffer: () => Promise.reject(new Error("gone")) }) };
  assert.deepEqual(reasons(await run(setUp({ file: gone }))), ["unreadable", "unreadable"]);
  const short = { name: "x", size: 2 * MIB, slice: () => new Blob(["short"]) };
  assert.deepEqual(reasons(await run(setUp({ file: short }))), ["unreadable", "unreadable"]);
});

test("a disk that is full ends it on both sides, and what was stored is thrown away", async () => {
  let aborted = 0;
  const full = () => ({
    write: async () => Promise.reject(new Error("QuotaExceededError")),
    close: async () => assert.fail("a sink that failed must not be closed"),
    abort: async () => void (aborted += 1),
  });
  assert.deepEqual(reasons(await run(setUp(), full)), ["refused", "storage"]);
  assert.equal(aborted, 1);
});

test("a file larger than the memory that may hold it is refused", () => {
  assert.throws(() => new MemorySink(512 * MIB + 1), { reason: "too_large", message: /536870913 bytes.* 536870912/ });
});

test("a sender that falls silent is given up", async () => {
  const all = setUp();
  const receive = (async () => {
    await all.receiver.announcement();
    return all.receiver.download(new MemorySink(0));
  })();
  all.links[0].send({ type: "file", id: "1", name: "x", size: 5 });
  const stalled = assert.rejects(receive, { reason: "stalled" });
  await all.links[0].expect(["pull"]);
  await all.clock.advance(30_000);
  await stalled;
  assert.equal((await all.links[0].expect(["failed"])).reason, "stalled");
});

test("hostile names are harmless before anybody sees them", async () => {
  const all = setUp();
  all.links[0].send({ type: "file", id: "1", name: "../\u202Egpj.exe", size: 5 });
  assert.deepEqual(await all.receiver.announcement(), { name: "_gpj.exe", size: 5 });
});

for (const size of [-1, 1.5, 2 ** 53, "5", null, undefined]) {
  test(`a file of ${size} bytes breaks the protocol`, async () => {
    const all = setUp();
    all.links[0].send({ type: "file", id: "1", name: "x", size });
    await assert.rejects(all.receiver.announcement(), { name: "ProtocolError" });
  });
}

for (const [title, message] of [
  ["a piece beyond the end", { type: "pull", id: "1", piece: 4, written: 0 }],
  ["a piece before the start", { type: "pull", id: "1", piece: -1, written: 0 }],
  ["a piece that is no number", { type: "pull", id: "1", piece: "0", written: 0 }],
  ["more written than there is", { type: "pull", id: "1", piece: 0, written: 1e12 }],
  ["a file that was not announced", { type: "pull", id: "2", piece: 0, written: 0 }],
  ["a word that is none", { type: "delete", id: "1" }],
]) {
  test(`a sender refuses ${title}`, async () => {
    const all = setUp();
    all.links[1].send(message);
    await assert.rejects(all.sender.run(), { name: "ProtocolError" });
  });
}

for (const [title, messages] of [
  ["another piece than asked for", [{ type: "piece", piece: 1, length: 5 }]],
  ["a piece of another length", [{ type: "piece", piece: 0, length: 6 }]],
  ["more bytes than the piece has", [{ type: "piece", piece: 0, length: 5 }, new Uint8Array(6)]],
  ["no bytes", [{ type: "piece", piece: 0, length: 5 }, new Uint8Array(0)]],
  ["bytes without a piece", [new Uint8Array(5)]],
  ["words amid the bytes", [{ type: "piece", piece: 0, length: 5 }, { type: "agreed", sha256: "" }]],
]) {
  test(`a receiver refuses ${title}`, async () => {
    const all = setUp();
    const [link] = all.links;
    link.send({ type: "file", id: "1", name: "x", size: 5 });
    await all.receiver.announcement();
    for (const message of messages) await (message.type ? link.send(message) : link.sendBytes(message));
    await assert.rejects(all.receiver.download(new MemorySink(5)), { name: "ProtocolError" });
  });
}

test("a flood that nobody asked for ends the link", async () => {
  const { links } = setUp();
  const flood = (async () => {
    for (let n = 0; n < 200; n++) await links[0].sendBytes(new Uint8Array(65_536));
  })();
  await assert.rejects(flood, { name: "PeerError" });
  await assert.rejects(async () => {
    for (;;) await links[1].next();
  }, { name: "ProtocolError", message: /more than was asked for/ });
});

test("speed and time left follow what was seen lately", async () => {
  const clock = new FakeClock();
  const meter = new Meter(10_000, { clock });
  assert.deepEqual(meter.update(0), { speed: 0, left: Infinity });
  await clock.advance(1_000);
  assert.deepEqual(meter.update(1_000), { speed: 1_000, left: 9 });
  for (let second = 0; second < 7; second++) {
    await clock.advance(1_000);
    meter.update(1_000);
  }
  assert.deepEqual(meter.update(1_000), { speed: 0, left: Infinity });
});
