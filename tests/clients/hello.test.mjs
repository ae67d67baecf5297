/** The flow of HelloWebRTC's pages in each dialect, with the frames of its clients. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { startBroker } from "../broker.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;

before(async () => {
  broker = await startBroker({ set: { "hello.enabled": "true" } });
});

after(async () => {
  await broker?.kill();
});

/** How each dialect writes a message and reads one. */
const DIALECTS = {
  A: {
    write: (from, messageType, contentType, content, to) => ({
      _messageType: messageType,
      _contentType: contentType,
      _content: content,
      _to: to,
      _from: from,
    }),
    read: ({ _contentType, _content, _to, _from }) => ({ type: _contentType, content: _content, to: _to, from: _from }),
  },
  B: {
    write: (from, messageType, contentType, body, to) => ({ to, from, messageType, content: { contentType, body } }),
    read: ({ content, to, from }) => ({ type: content.contentType, content: content.body, to, from }),
  },
};

/** A page: its socket, and the messages that it received. */
class Page {
  #inbox = [];

  constructor(dialect, path, id = randomUUID()) {
    this.id = id;
    this.dialect = DIALECTS[dialect];
    this.socket = new WebSocket(broker.socketUrl(path));
    this.socket.on("message", (data) => this.#inbox.push(this.dialect.read(JSON.parse(data))));
  }

  send(messageType, contentType, content, to) {
    this.socket.send(JSON.stringify(this.dialect.write(this.id, messageType, contentType, content, to)));
  }

  join() {
    this.send("broadcast", "join", "hello");
  }

  async next() {
    while (this.#inbox.length === 0) await once(this.socket, "message");
    return this.#inbox.shift();
  }

  get unread() {
    return this.#inbox.length;
  }
}

for (const dialect of Object.keys(DIALECTS)) {
  for (const path of ["", "hello"]) {
    test(`dialect ${dialect} at /${path}: join, offer, answer`, async (t) => {
      const [caller, callee] = [new Page(dialect, path), new Page(dialect, path)];
      t.after(() => [caller, callee].forEach(({ socket }) => socket.terminate()));
      await Promise.all([caller, callee].map(({ socket }) => once(socket, "open")));

      // each page creates a button for every client that joins, including itself
      caller.join();
      const joined = (page) => ({ type: "join", content: "hello", to: undefined, from: page.id });
      assert.deepEqual(await caller.next(), joined(caller));
      callee.join();
      assert.deepEqual(await caller.next(), joined(callee));
      assert.deepEqual(await callee.next(), joined(callee));

      caller.send("unicast", "offer", "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n", callee.id);
      const offer = { type: "offer", content: "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n", to: callee.id, from: caller.id };
      assert.deepEqual(await callee.next(), offer);
      callee.send("unicast", "answer", { sdp: "v=0\r\n" }, offer.from);
      assert.deepEqual(await caller.next(), { type: "answer", content: { sdp: "v=0\r\n" }, to: caller.id, from: callee.id });
      callee.send("unicast", "candidate", { candidate: "c", sdpMLineIndex: 0 }, offer.from);
      assert.equal((await caller.next()).type, "candidate");
      assert.equal(caller.unread + callee.unread, 0);
    });
  }
}

test("the early dialect: join, offer, answer", async (t) => {
  const [caller, callee] = [new WebSocket(broker.socketUrl("")), new WebSocket(broker.socketUrl("?any"))];
  t.after(() => [caller, callee].forEach((socket) => socket.terminate()));
  const inboxes = new Map([caller, callee].map((socket) => [socket, []]));
  for (const [socket, inbox] of inboxes) socket.on("message", (data) => inbox.push(JSON.parse(String(data))));
  await Promise.all([caller, callee].map((socket) => once(socket, "open")));
  const send = (socket, message) => socket.send(JSON.stringify(message));
  const next = async (socket) => {
    while (inboxes.get(socket).length === 0) await once(socket, "message");
    return inboxes.get(socket).shift();
  };

  const [a, b] = [randomUUID(), randomUUID()];
  send(caller, { _type: "join", _uuid: a });
  assert.deepEqual(await next(caller), { _type: "join", _uuid: a, _name: "name" });
  send(callee, { _type: "join", _uuid: b });
  for (const page of [caller, callee]) assert.deepEqual(await next(page), { _type: "join", _uuid: b, _name: "name" });
  const offer = { _type: "offer", _sdp: "v=0\r\n", _uuid: a, _touuid: b };
  send(caller, offer);
  assert.deepEqual(await next(callee), offer);
  const answer = { _type: "answer", _sdp: "v=0\r\n", _uuid: b, _touuid: a };
  send(callee, answer);
  assert.deepEqual(await next(caller), answer);
});

/** Bencode as the binary dialect's client writes it: one byte per character, keys in their order. */
function bencode(value) {
  if (typeof value === "string") return `${value.length}:${value}`;
  if (typeof value === "number") return `i${value}e`;
  if (Array.isArray(value)) return `l${value.map(bencode).join("")}e`;
  return `d${Object.entries(value).flat().map(bencode).join("")}e`;
}

/** Reads a whole message: its byte strings as text. */
function bdecode(/** @type {Buffer} */ bytes) {
  let at = 0;
  const until = (end) => {
    const text = bytes.toString("latin1", at, bytes.indexOf(end, at));
    at += text.length + 1;
    return text;
  };
  const isEnd = () => bytes[at] === 0x65 && ++at > 0;
  const value = () => {
    const kind = String.fromCharCode(bytes[at]);
    if ("ild".includes(kind)) at += 1;
    if (kind === "i") return Number(until("e"));
    if (kind === "l" || kind === "d") {
      const items = [];
      while (!isEnd()) items.push(value());
      const pairs = items.flatMap((key, n) => (n % 2 === 0 ? [[key, items[n + 1]]] : []));
      return kind === "l" ? items : Object.fromEntries(pairs);
    }
    const length = Number(until(":"));
    at += length;
    return bytes.toString("latin1", at - length, at);
  };
  const whole = value();
  assert.equal(at, bytes.length);
  return whole;
}

test("the binary dialect: join, list, offer, answer", async (t) => {
  const [caller, callee] = [new WebSocket(broker.socketUrl("")), new WebSocket(broker.socketUrl("hello"))];
  t.after(() => [caller, callee].forEach((socket) => socket.terminate()));
  const inboxes = new Map([caller, callee].map((socket) => [socket, []]));
  for (const [socket, inbox] of inboxes) {
    socket.on("message", (data, isBinary) => inbox.push(isBinary ? bdecode(/** @type {Buffer} */ (data)) : data));
  }
  await Promise.all([caller, callee].map((socket) => once(socket, "open")));
  // the client sends its whole buffer, which is longer than the message
  const send = (socket, message) => {
    const bytes = Buffer.alloc(2_000);
    bytes.latin1Write(bencode(message));
    socket.send(bytes);
  };
  const next = async (socket) => {
    while (inboxes.get(socket).length === 0) await once(socket, "message");
    return inboxes.get(socket).shift();
  };

  const [a, b] = [randomUUID(), randomUUID()];
  const hello = { contentType: "join", body: "hello" };
  send(caller, { from: a, messageType: "broadcast", content: hello });
  assert.deepEqual(await next(caller), { content: hello, from: a });
  send(callee, { from: b, messageType: "broadcast", content: hello });
  for (const page of [caller, callee]) assert.deepEqual(await next(page), { content: hello, from: b });
  send(caller, { from: a, messageType: "list" });
  assert.deepEqual(await next(caller), { content: { body: [b, a], contentType: "list" }, from: a });
  const offer = { contentType: "offer", body: "v=0\r\n" };
  send(caller, { to: b, from: a, messageType: "unicast", content: offer });
  assert.deepEqual(await next(callee), { content: offer, to: b, from: a });
  const answer = { contentType: "answer", body: "v=0\r\n" };
  send(callee, { to: a, from: b, messageType: "unicast", content: answer });
  assert.deepEqual(await next(caller), { content: answer, to: a, from: b });
});

test("a reloaded page takes its name over", async (t) => {
  const [old, other] = [new Page("A", "hello", "constant"), new Page("A", "hello")];
  t.after(() => [old, other, fresh].forEach(({ socket }) => socket.terminate()));
  await Promise.all([old, other].map(({ socket }) => once(socket, "open")));
  old.join();
  await old.next();
  const fresh = new Page("A", "hello", "constant");
  await once(fresh.socket, "open");
  fresh.join();
  await fresh.next();
  other.send("unicast", "offer", "sdp", "constant");
  assert.equal((await fresh.next()).from, other.id);
  assert.equal(old.unread, 0);
});

test("the page at the root is still the page", async () => {
  const answer = await fetch(broker.url, { headers: { accept: "text/html" } });
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), /<html/);
});
