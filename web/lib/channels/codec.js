/**
 * The codec of Phoenix's V2 serializer (`vsn=2.0.0`): messages to WebSocket frames and back. It holds
 * no state.
 */

import { concat, utf8 } from "../util/bytes.js";
import { ProtocolError } from "../util/errors.js";

/**
 * @typedef {object} Message
 * @property {string | null} joinRef the join it belongs to; null in broadcasts
 * @property {string | null} ref the push that it is, or that it replies to
 * @property {string} topic
 * @property {string} event
 * @property {any} payload JSON, or bytes (`ArrayBuffer`), which are sent as a binary frame
 */

/** The length of a binary frame's field is one byte. */
const FIELD_LIMIT = 255;
const KIND = { push: 0, reply: 1, broadcast: 2 };
const decoder = new TextDecoder();

/**
 * @param {Message} message
 * @returns {string | ArrayBuffer} a text frame, or a binary one if the payload is bytes
 * @throws {ProtocolError} a field of a binary message is longer than 255 bytes
 */
export function encode({ joinRef, ref, topic, event, payload }) {
  const bytes = asBytes(payload);
  if (bytes) return encodeBinary([joinRef ?? "", ref ?? "", topic, event], bytes);
  return JSON.stringify([joinRef, ref, topic, event, payload]);
}

/**
 * @param {string | ArrayBuffer} frame
 * @returns {Message}
 * @throws {ProtocolError} the frame is not a V2 message
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
  return concat(Uint8Array.from(header), ...parts, payload).buffer;
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
    throw new ProtocolError("topic or event of a text frame is not a string");
  }
  if (event === "phx_reply" && typeof payload?.status !== "string") {
    throw new ProtocolError("text frame is a reply without a status");
  }
  return { joinRef, ref, topic, event, payload };
}

/**
 * A push of a server has no ref, so it has one field fewer than a push of a client.
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
 * @param {number} count of fields after the kind
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
    throw new ProtocolError(`binary frame of ${bytes.length} bytes is truncated`);
  }
  return { fields, payload: buffer.slice(at) };
}
