/**
 * Mutual authentication of the two ends of a message channel: both prove that they hold the key of the
 * share *and* that they use the DTLS session whose fingerprints they negotiated. A broker that replaces
 * fingerprints, a hijacked topic and a guessed id all fail here, before any file name is sent.
 */

import { PeerError } from "../rtc/errors.js";
import { fromBase64url, randomBytes, toBase64url, utf8 } from "../util/bytes.js";
import { ProtocolError } from "../util/errors.js";
import { ProofError } from "./errors.js";

/** @typedef {"sharer" | "receiver"} Role */
/** @typedef {import("../rtc/fingerprints.js").Fingerprints} Fingerprints */

/**
 * @typedef {object} ProofStatement what a proof signs, from the point of view of the side that makes it
 * @property {Role} role
 * @property {Fingerprints} fingerprints
 * @property {Record<Role, string>} nonces base64url
 */

export const KEY_BYTES = 16;
const NONCE_BYTES = 16;
const HMAC = { name: "HMAC", hash: "SHA-256" };

/**
 * Runs the exchange on a channel that has just opened. The receiver proves first, so that a stranger
 * gets nothing from a sharer, not even a proof to test keys against.
 *
 * @param {import("../rtc/message-channel.js").RtcMessageChannel} channel
 * @param {object} options
 * @param {Uint8Array<ArrayBuffer>} options.key 16 bytes, from the link's fragment
 * @param {Role} options.role of this side
 * @param {Fingerprints} options.fingerprints from this side's descriptions
 * @param {number} [options.timeout] ms for each message of the other side (default 10 000)
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<void>} resolves when both sides have proved
 * @throws {ProofError} the keys or the fingerprints differ; the other side was notified, and the caller has
 *   to close the channel
 * @throws {PeerError} `too_many_tries`: the sharer accepts no proof of a stranger at the moment
 */
export async function prove(channel, { key, role, fingerprints, timeout = 10_000, signal }) {
  const nonce = toBase64url(randomBytes(NONCE_BYTES));
  channel.send({ type: "hello", version: 1, nonce });
  const hello = await channel.expect(role === "receiver" ? ["hello", "refused"] : ["hello"], { timeout, signal });
  if (hello.type === "refused") throw new PeerError("too_many_tries", "sharer has received too many wrong keys");
  /** @type {Role} */
  const remoteRole = role === "sharer" ? "receiver" : "sharer";
  const nonces = /** @type {Record<Role, string>} */ ({ [role]: nonce, [remoteRole]: checkNonce(hello.nonce) });
  const own = { role, fingerprints, nonces };
  const remote = { role: remoteRole, fingerprints: { local: fingerprints.remote, remote: fingerprints.local }, nonces };

  if (role === "receiver") channel.send({ type: "proof", mac: await signProof(key, own) });
  const answer = await channel.expect(["proof", "refused"], { timeout, signal });
  if (answer.type === "refused") throw new ProofError("other side refused this side's proof");
  if (!(await verifyProof(key, remote, answer.mac))) {
    channel.send({ type: "refused", reason: "wrong_key" });
    throw new ProofError("other side's proof does not match the key");
  }
  if (role === "sharer") channel.send({ type: "proof", mac: await signProof(key, own) });
}

/**
 * @param {Uint8Array<ArrayBuffer>} key
 * @param {ProofStatement} statement
 * @returns {Promise<string>} base64url
 */
export async function signProof(key, statement) {
  const mac = await crypto.subtle.sign("HMAC", await importKey(key), encodeStatement(statement));
  return toBase64url(new Uint8Array(mac));
}

/**
 * @param {Uint8Array<ArrayBuffer>} key
 * @param {ProofStatement} statement of the side that claims to have made it
 * @param {any} mac as received
 * @returns {Promise<boolean>} compared in constant time
 */
export async function verifyProof(key, statement, mac) {
  const bytes = typeof mac === "string" ? fromBase64url(mac) : null;
  if (!bytes) return false;
  return crypto.subtle.verify("HMAC", await importKey(key), bytes, encodeStatement(statement));
}

/** @param {Uint8Array<ArrayBuffer>} key */
function importKey(key) {
  return crypto.subtle.importKey("raw", key, HMAC, false, ["sign", "verify"]);
}

/** @param {ProofStatement} statement */
function encodeStatement({ role, fingerprints, nonces }) {
  const fields = [role, fingerprints.local, fingerprints.remote, nonces.sharer, nonces.receiver];
  return utf8(JSON.stringify(["handclasp proof 1", ...fields]));
}

/** @param {any} nonce */
function checkNonce(nonce) {
  const bytes = typeof nonce === "string" ? fromBase64url(nonce) : null;
  if (bytes?.length !== NONCE_BYTES) throw new ProtocolError(`nonce is not ${NONCE_BYTES} bytes of base64url`);
  return nonce;
}
