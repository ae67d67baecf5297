/**
 * Mutual authentication of the two ends of a message channel, before any file name is sent.
 *
 * Both prove that they hold the key of the link *and* that they use the DTLS session whose fingerprints
 * they negotiated. A broker that replaces fingerprints, a hijacked topic and a guessed id all fail here.
 * If the share has a password, both then prove it with CPace, over the session that the key has
 * authenticated: a peer without the key cannot try passwords, and a peer that has it can try only one for
 * each connection, at either side.
 *
 *     both      {type: "hello", version, nonce}
 *     receiver  {type: "proof", mac, password}   password: whether it has one
 *     sharer    {type: "proof", mac}
 *     receiver  {type: "point", point}           with a password: the parts of CPace
 *     sharer    {type: "point", point}
 *     receiver  {type: "confirm", mac}           with the key of CPace
 *     sharer    {type: "confirm", mac}
 *     either    {type: "refused", reason}        instead of any of them
 */

import { PeerError } from "../rtc/errors.js";
import { fromBase64url, randomBytes, toBase64url, utf8 } from "../util/bytes.js";
import { ProtocolError } from "../util/errors.js";
import { ProofError } from "./errors.js";

/** @typedef {import("../rtc/message-channel.js").RtcMessageChannel} RtcMessageChannel */
/** @typedef {import("../rtc/message-channel.js").ControlMessage} ControlMessage */
/** @typedef {"sharer" | "receiver"} Role */
/** @typedef {import("../rtc/fingerprints.js").Fingerprints} Fingerprints */

/**
 * @typedef {object} ProofStatement what a proof signs, from the point of view of the side that makes it
 * @property {Role} role
 * @property {Fingerprints} fingerprints
 * @property {Record<Role, string>} nonces base64url
 */

/** @typedef {{own: ProofStatement, remote: ProofStatement}} Session */
/** @typedef {(types: string[]) => Promise<ControlMessage>} Expect receives one of them, or throws a refusal */

const VERSION = 3;
const NONCE_BYTES = 16;
const HMAC = { name: "HMAC", hash: "SHA-256" };

/**
 * Runs the exchange on a channel that has just opened. The receiver proves first, so that a stranger
 * gets nothing from a sharer.
 *
 * @param {RtcMessageChannel} channel
 * @param {object} options
 * @param {Uint8Array<ArrayBuffer>} options.key 16 bytes, from the link's fragment
 * @param {Uint8Array<ArrayBuffer> | null} [options.passwordKey] from `derivePasswordKey` (default: no password)
 * @param {() => boolean} [options.mayTryPassword] asked by a sharer when a receiver that holds the key tries
 *   a password (default: always)
 * @param {Role} options.role of this side
 * @param {Fingerprints} options.fingerprints from this side's descriptions
 * @param {number} [options.timeout] ms for each message of the other side (default 10 000)
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<void>} resolves when both sides have proved
 * @throws {ProofError} the keys, the passwords or the fingerprints differ; the other side was notified, and
 *   the caller has to close the channel
 * @throws {PeerError} `too_many_tries`: the sharer accepts no password at the moment
 */
export async function prove(channel, { key, passwordKey = null, mayTryPassword, role, fingerprints, timeout = 10_000, signal }) {
  /** @type {Expect} */
  const expect = async (types) => {
    const message = await channel.expect([...types, "refused"], { timeout, signal });
    if (message.type === "refused") throw toError(message.reason);
    return message;
  };
  try {
    const session = await exchangeHellos(channel, expect, role, fingerprints);
    await proveKey(channel, expect, session, key, passwordKey !== null);
    if (passwordKey) await provePassword(channel, expect, session, passwordKey, mayTryPassword);
  } catch (error) {
    if (error instanceof Refusal) {
      channel.send({ type: "refused", reason: error.reason });
      throw toError(error.reason);
    }
    throw error;
  }
}

/** What this side refuses. */
class Refusal {
  /** @param {string} reason for the other side */
  constructor(reason) {
    this.reason = reason;
  }
}

/**
 * @param {any} reason why one of the sides refused
 * @returns {ProofError | PeerError}
 */
function toError(reason) {
  if (reason === "too_many_tries") return new PeerError("too_many_tries", "sharer has received too many wrong passwords");
  if (reason === "version") return new ProofError("version", "the two sides run different versions");
  if (reason === "wrong_password") return new ProofError("wrong_password", "the passwords differ");
  return new ProofError("wrong_key", "the keys differ, or the connection is intercepted");
}

/**
 * @param {RtcMessageChannel} channel
 * @param {Expect} expect
 * @param {Role} role
 * @param {Fingerprints} fingerprints
 * @returns {Promise<Session>}
 */
async function exchangeHellos(channel, expect, role, fingerprints) {
  const nonce = toBase64url(randomBytes(NONCE_BYTES));
  channel.send({ type: "hello", version: VERSION, nonce });
  const hello = await expect(["hello"]);
  if (hello.version !== VERSION) throw new Refusal("version");
  /** @type {Role} */
  const remoteRole = role === "sharer" ? "receiver" : "sharer";
  const nonces = /** @type {Record<Role, string>} */ ({ [role]: nonce, [remoteRole]: checkNonce(hello.nonce) });
  return {
    own: { role, fingerprints, nonces },
    remote: { role: remoteRole, fingerprints: { local: fingerprints.remote, remote: fingerprints.local }, nonces },
  };
}

/**
 * @param {RtcMessageChannel} channel
 * @param {Expect} expect
 * @param {Session} session
 * @param {Uint8Array<ArrayBuffer>} key
 * @param {boolean} hasPassword
 */
async function proveKey(channel, expect, { own, remote }, key, hasPassword) {
  const isReceiver = own.role === "receiver";
  if (isReceiver) channel.send({ type: "proof", mac: await signProof(key, own), password: hasPassword });
  const { mac, password } = await expect(["proof"]);
  if (!(await verifyProof(key, remote, mac))) throw new Refusal("wrong_key");
  if (isReceiver) return;
  // Either side insists on the password that it has: it may be what the other one is recognized by.
  if (password !== hasPassword) throw new Refusal("wrong_password");
  channel.send({ type: "proof", mac: await signProof(key, own) });
}

/**
 * @param {RtcMessageChannel} channel
 * @param {Expect} expect
 * @param {Session} session
 * @param {Uint8Array<ArrayBuffer>} passwordKey
 * @param {() => boolean} [mayTry]
 */
async function provePassword(channel, expect, { own, remote }, passwordKey, mayTry = () => true) {
  const { finishExchange, messageOf, startExchange } = await import("./cpace.js"); // most shares have no password
  const isReceiver = own.role === "receiver";
  const { sharer, receiver } = own.nonces;
  const channelName = isReceiver ? encodeStatement(own) : encodeStatement(remote);
  const session = { password: passwordKey, channel: channelName, id: utf8(`${receiver}${sharer}`) };
  const { privateKey, point } = await startExchange(session);
  if (isReceiver) channel.send({ type: "point", point: toBase64url(point) });
  const remotePoint = checkPoint((await expect(["point"])).point);
  if (!isReceiver) channel.send({ type: "point", point: toBase64url(point) });
  const messages = [messageOf(point, utf8(own.role)), messageOf(remotePoint, utf8(remote.role))];
  const [first, second] = isReceiver ? messages : messages.toReversed();
  const key = await finishExchange({ session, privateKey, remotePoint, messages: [first, second] });
  if (isReceiver) channel.send({ type: "confirm", mac: await signProof(key, own) });
  const { mac } = await expect(["confirm"]);
  // Only now: until here the receiver has learned nothing about the password, so it is no try.
  if (!mayTry()) throw new Refusal("too_many_tries");
  if (!(await verifyProof(key, remote, mac))) throw new Refusal("wrong_password");
  if (!isReceiver) channel.send({ type: "confirm", mac: await signProof(key, own) });
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
  return utf8(JSON.stringify([`handclasp proof ${VERSION}`, ...fields]));
}

/** @param {any} nonce */
function checkNonce(nonce) {
  const bytes = typeof nonce === "string" ? fromBase64url(nonce) : null;
  if (bytes?.length !== NONCE_BYTES) throw new ProtocolError(`nonce is not ${NONCE_BYTES} bytes of base64url`);
  return nonce;
}

/** @param {any} point */
function checkPoint(point) {
  const bytes = typeof point === "string" ? fromBase64url(point) : null;
  if (!bytes) throw new ProtocolError("point is not base64url");
  return bytes;
}
