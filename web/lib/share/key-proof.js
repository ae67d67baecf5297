/**
 * Both sides of a link prove that they hold its key *and* speak over the very DTLS
 * session whose fingerprints they negotiated. A broker that swaps fingerprints, a
 * stranger on a hijacked topic and a guessed id all fail here, before any file name
 * was said. Opening the data channel is connection.js's business.
 */

import { fromBase64url, randomBytes, toBase64url, utf8 } from "../util/bytes.js";
import { PeerError, ProofError, ProtocolError } from "../util/errors.js";

/** @typedef {"sharer" | "receiver"} Role */
/** @typedef {{own: string, other: string}} Fingerprints each as `fingerprintsOf` gives it */

/** @typedef {object} Side what one proof is made of, seen from who makes it
 * @property {Role} role
 * @property {Fingerprints} fingerprints
 * @property {Record<Role, string>} nonces base64url
 */

export const KEY_BYTES = 16;
const NONCE_BYTES = 16;
const HMAC = { name: "HMAC", hash: "SHA-256" };

/**
 * Runs the exchange on a link that has just opened. The receiver proves first: a sharer
 * gives a stranger nothing, not even something to try keys against.
 *
 * @param {import("../rtc/message-channel.js").Link} link
 * @param {object} options
 * @param {Uint8Array<ArrayBuffer>} options.key 16 bytes, from the link's fragment
 * @param {Role} options.role which side this is
 * @param {Fingerprints} options.fingerprints from this side's own descriptions
 * @param {number} [options.timeout] ms for each message of the other side (default 10 000)
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<void>} when both sides have proved
 * @throws {ProofError} the keys or the fingerprints differ; the other side was told, and
 *   the caller has to close the link
 * @throws {PeerError} `too_many_tries`: a sharer lets no stranger try just now
 */
export async function prove(link, { key, role, fingerprints, timeout = 10_000, signal }) {
  const nonce = toBase64url(randomBytes(NONCE_BYTES));
  link.send({ type: "hello", version: 1, nonce });
  const hello = await link.expect(role === "receiver" ? ["hello", "refused"] : ["hello"], { timeout, signal });
  if (hello.type === "refused") throw new PeerError("too_many_tries", "sharer has been tried with too many wrong keys");
  /** @type {Role} */
  const peer = role === "sharer" ? "receiver" : "sharer";
  const nonces = /** @type {Record<Role, string>} */ ({ [role]: nonce, [peer]: checkNonce(hello.nonce) });
  const mine = { role, fingerprints, nonces };
  const theirs = { role: peer, fingerprints: { own: fingerprints.other, other: fingerprints.own }, nonces };

  if (role === "receiver") link.send({ type: "proof", mac: await sign(key, mine) });
  const answer = await link.expect(["proof", "refused"], { timeout, signal });
  if (answer.type === "refused") throw new ProofError("other side refused this side's proof");
  if (!(await verify(key, theirs, answer.mac))) {
    link.send({ type: "refused", reason: "wrong_key" });
    throw new ProofError("other side's proof does not fit the key");
  }
  if (role === "sharer") link.send({ type: "proof", mac: await sign(key, mine) });
}

/**
 * @param {Uint8Array<ArrayBuffer>} key
 * @param {Side} side
 * @returns {Promise<string>} base64url
 */
export async function sign(key, side) {
  const mac = await crypto.subtle.sign("HMAC", await importKey(key), statement(side));
  return toBase64url(new Uint8Array(mac));
}

/**
 * @param {Uint8Array<ArrayBuffer>} key
 * @param {Side} side the one that is said to have made it
 * @param {any} mac as it came from the network
 * @returns {Promise<boolean>} compared in constant time
 */
export async function verify(key, side, mac) {
  const bytes = typeof mac === "string" ? fromBase64url(mac) : null;
  if (!bytes) return false;
  return crypto.subtle.verify("HMAC", await importKey(key), bytes, statement(side));
}

/**
 * All of a description's fingerprints: DTLS accepts a certificate that fits any of them,
 * so one slipped in by the broker has to change the proof.
 *
 * @param {string} sdp a session description
 * @returns {string} algorithm and value in a canonical form
 * @throws {ProtocolError} when the description has none
 */
export function fingerprintsOf(sdp) {
  const found = Array.from(sdp.matchAll(/^a=fingerprint:(\S+) +(\S+)/gm), ([, algorithm, value]) => {
    return `${algorithm.toLowerCase()} ${value.toUpperCase()}`;
  });
  if (found.length === 0) throw new ProtocolError("session description has no fingerprint");
  return [...new Set(found)].sort().join(",");
}

/** @param {Uint8Array<ArrayBuffer>} key */
function importKey(key) {
  return crypto.subtle.importKey("raw", key, HMAC, false, ["sign", "verify"]);
}

/** @param {Side} side */
function statement({ role, fingerprints, nonces }) {
  const fields = [role, fingerprints.own, fingerprints.other, nonces.sharer, nonces.receiver];
  return utf8(JSON.stringify(["handclasp proof 1", ...fields]));
}

/** @param {any} nonce */
function checkNonce(nonce) {
  const bytes = typeof nonce === "string" ? fromBase64url(nonce) : null;
  if (bytes?.length !== NONCE_BYTES) throw new ProtocolError(`nonce is not ${NONCE_BYTES} bytes of base64url`);
  return nonce;
}
