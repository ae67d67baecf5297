/**
 * Phoenix's V2 wire format (`vsn=2.0.0`): messages to frames and back. The only file
 * that knows the order of the array and the layout of binary frames; it holds no state.
 */

import { utf8 } from "../util/bytes.js";
import { ProtocolError } from "../util/errors.js";

/**
 * @typedef {object} Message
 * @property {string | null} joinRef which join it belongs to; null in broadcasts
 * @property {string | null} ref which push it is, or answers
 * @property {string} topic
 * @property {string} event
 * @property {any} payload JSON, or bytes (`ArrayBuffer`) which travel in a binary frame
 */

/** Fields of a binary frame have one byte for their length. */
const FIELD_LIMIT = 255;
const KIND = { push: 0, reply: 1, broadcast: 2 };
const decoder = new TextDecoder();

/**
 * @param {URL} mount
 * @param {Record<string, string>} params
 * @returns {string} where this format is spoken
 */
export function endpoint(mount, params) {
  const url = new URL(mount);
  url.protocol = url.protocol.replace("http", "ws");
  url.pathname = `${url.pathname.replace(/\/$/, "")}/websocket`;
  for (const [key, value] of Object.entries(params)) url.searchParams.set(key, value);
  url.searchParams.set("vsn", "2.0.0");
  return url.href;
}

/**
 * @param {Message} message
 * @returns {string | ArrayBuffer} a text frame, or a binary one if the payload is bytes
 * @throws {ProtocolError} when a field of a binary message is longer than 255 bytes
 */
export function encode({ joinRef, ref, topic, event, payload }) {
  const bytes = asBytes(payload);
  if (bytes) return encodeBinary([joinRef ?? "", ref ?? "", topic, event], bytes);
  return JSON.stringify([joinRef, ref, topic, event, payload]);
}

/**
 * @param {string | ArrayBuffer} frame
 * @returns {Message}
 * @throws {ProtocolError} when the frame is not a V2 message
 */
export function decode(frame) {
  return typeof frame === "string" ? decodeText(frame) : decodeBinary(frame);
}

/**
 * @param {any} payload
 * @returns {Uint8Array | null}
 */
function asBytes(payload) {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  if (!ArrayBuffer.isView(payload)) return null;
  return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
}

/**
 * @param {string[]} fields
 * @param {Uint8Array} payload
 */
function encodeBinary(fields, payload) {
  const parts = fields.map(utf8);
  const tooLong = parts.findIndex((part) => part.length > FIELD_LIMIT);
  if (tooLong >= 0) {
    const length = parts[tooLong].length;
    throw new ProtocolError(`field of a binary push has ${length} bytes, limit ${FIELD_LIMIT}`);
  }
  const header = [KIND.push, ...parts.map((part) => part.length)];
  return join([Uint8Array.from(header), ...parts, payload]);
}

/**
 * @param {Uint8Array[]} parts
 * @returns {ArrayBuffer}
 */
function join(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.buffer;
}

/** @param {string} text */
function decodeText(text) {
  let fields;
  try {
    fields = JSON.parse(text);
  } catch (cause) {
    throw new ProtocolError(`text frame of ${text.length} characters is not json`);
  }
  if (!Array.isArray(fields) || fields.length < 5) {
    throw new ProtocolError("text frame is not an array of five elements");
  }
  const [joinRef, ref, topic, event, payload] = fields;
  if (typeof topic !== "string" || typeof event !== "string") {
    throw new ProtocolError("text frame has a topic or an event that is not text");
  }
  if (event === "phx_reply" && typeof payload?.status !== "string") {
    throw new ProtocolError("text frame is a reply without a status");
  }
  return { joinRef, ref, topic, event, payload };
}

/**
 * A server's push has no ref, and so one length fewer than a client's.
 *
 * @param {ArrayBuffer} buffer
 * @returns {Message}
 */
function decodeBinary(buffer) {
  const kind = new Uint8Array(buffer)[0];
  if (kind === KIND.push) {
    const { fields, payload } = split(buffer, 3);
    const [joinRef, topic, event] = fields;
    return { joinRef, ref: null, topic, event, payload };
  }
  if (kind === KIND.reply) {
    const { fields, payload } = split(buffer, 4);
    const [joinRef, ref, topic, status] = fields;
    return { joinRef, ref, topic, event: "phx_reply", payload: { status, response: payload } };
  }
  if (kind === KIND.broadcast) {
    const { fields, payload } = split(buffer, 2);
    const [topic, event] = fields;
    return { joinRef: null, ref: null, topic, event, payload };
  }
  throw new ProtocolError(`binary frame of unknown kind ${kind}`);
}

/**
 * @param {ArrayBuffer} buffer
 * @param {number} count how many fields follow the kind
 */
function split(buffer, count) {
  const bytes = new Uint8Array(buffer);
  const lengths = bytes.subarray(1, 1 + count);
  let at = 1 + count;
  const fields = Array.from(lengths, (length) => {
    const field = decoder.decode(bytes.subarray(at, at + length));
    at += length;
    return field;
  });
  if (lengths.length < count || at > bytes.length) {
    throw new ProtocolError(`binary frame of ${bytes.length} bytes is cut short`);
  }
  return { fields, payload: buffer.slice(at) };
}
