/** The codec of the V2 serializer: text frames, and binary frames byte by byte. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "../../web/lib/channels/codec.js";

const bytes = (...values) => new Uint8Array(values).buffer;
const text = (string) => [...new TextEncoder().encode(string)];

test("a json message is an array of five elements", () => {
  const message = { joinRef: "1", ref: "2", topic: "room:a", event: "say", payload: { x: [1, null] } };
  assert.equal(encode(message), '["1","2","room:a","say",{"x":[1,null]}]');
  assert.deepEqual(decode(encode(message)), message);
});

test("a binary push counts its fields in bytes, not characters", () => {
  const frame = encode({ joinRef: "1", ref: "22", topic: "é", event: "e", payload: bytes(7, 8) });
  assert.deepEqual([...new Uint8Array(frame)], [0, 1, 2, 2, 1, ...text("122é" + "e"), 7, 8]);
});

test("only the bytes of a view are sent, not its whole buffer", () => {
  const view = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);
  const frame = encode({ joinRef: null, ref: null, topic: "t", event: "e", payload: view });
  assert.deepEqual([...new Uint8Array(frame)], [0, 0, 0, 1, 1, ...text("te"), 2, 3]);
});

test("a field longer than 255 bytes is rejected", () => {
  const message = { joinRef: "1", ref: "1", topic: "t".repeat(256), event: "e", payload: bytes() };
  assert.throws(() => encode(message), { reason: "protocol", message: /256 bytes, limit 255/ });
});

test("a server's binary push, reply and broadcast are decoded", () => {
  assert.deepEqual(decode(bytes(0, 1, 1, 1, ...text("1te"), 9)), {
    joinRef: "1", ref: null, topic: "t", event: "e", payload: bytes(9),
  });
  assert.deepEqual(decode(bytes(1, 1, 1, 5, 2, ...text("12lab:bok"), 1, 2)), {
    joinRef: "1", ref: "2", topic: "lab:b", event: "phx_reply",
    payload: { status: "ok", response: bytes(1, 2) },
  });
  assert.deepEqual(decode(bytes(2, 1, 1, ...text("te"))), {
    joinRef: null, ref: null, topic: "t", event: "e", payload: bytes(),
  });
});
