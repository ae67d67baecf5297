/**
 * A peer's identity: a secret and an id.
 *
 * The id of `createIdentity` is derived from the secret, so a client that knows only the id cannot join with it.
 * The id of `namedIdentity` is derived from a name that everybody may know: the first client that joins with it has
 * it, until it leaves. There is no account and no state on the server.
 */

import { concat, fromBase64url, fromHex, randomBytes, toBase64url, toHex, utf8 } from "../util/bytes.js";
import { sha1 } from "../util/sha1.js";

const SECRET_BYTES = 32;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** The namespace of the ids of names: RFC 9562 calls such an id a UUID of version 5. */
const NAMESPACE = fromHex("852a6f2bd2174ac086b8af976f2e66d5");
/** A name travels with every offer and answer, so its length is limited. */
const MAX_NAME_BYTES = 256;

/**
 * @typedef {object} Identity
 * @property {string} peerId public: a UUID in canonical lower-case form
 * @property {string} secret base64url without padding; it is sent only to the broker, to join
 * @property {string} [name] that `peerId` is derived from; the peer tells it to the peers that it connects to
 */

/** @returns {Promise<Identity>} a new identity from 32 random bytes */
export async function createIdentity() {
  return identityOf(randomBytes(SECRET_BYTES));
}

/**
 * @param {string} secret base64url without padding, of 16 to 64 bytes
 * @returns {Promise<Identity>} the same secret always gives the same id
 * @throws {RangeError} the secret is malformed
 */
export async function restoreIdentity(secret) {
  const bytes = fromBase64url(secret);
  if (!bytes || bytes.length < 16 || bytes.length > 64) {
    throw new RangeError("secret is not base64url of 16 to 64 bytes");
  }
  return identityOf(bytes);
}

/**
 * An identity for a name, with a new secret. It works on pages without TLS too.
 *
 * @param {string} [name] (default: a random UUID)
 * @returns {Identity}
 * @throws {RangeError} see `peerIdOf`
 */
export function namedIdentity(name = toUuid(randomBytes(16), 4)) {
  const peerId = peerIdOf(name);
  const secret = toBase64url(randomBytes(SECRET_BYTES));
  return peerId === name ? { peerId, secret } : { peerId, secret, name };
}

/**
 * The id that belongs to a name. A UUID in canonical form stands for itself.
 *
 * @param {string} name
 * @returns {string} the same for the same name, everywhere
 * @throws {RangeError} the name is not a text of 1 to 256 bytes in UTF-8
 */
export function peerIdOf(name) {
  if (!isName(name)) throw new RangeError(`name is not a text of 1 to ${MAX_NAME_BYTES} bytes`);
  return isPeerId(name) ? name : toUuid(sha1(concat(NAMESPACE, utf8(name))), 5);
}

/**
 * @param {unknown} name as a peer has claimed it
 * @param {string} peerId of that peer, from the broker
 * @returns {string | null} the name, if the id belongs to it
 */
export function checkedName(name, peerId) {
  return isName(name) && peerIdOf(name) === peerId ? name : null;
}

/**
 * @param {string} text
 * @returns {boolean} whether it is a UUID in canonical lower-case form
 */
export function isPeerId(text) {
  return UUID.test(text);
}

/**
 * @param {unknown} name
 * @returns {name is string} whether a peer can have it
 */
export function isName(name) {
  // The length comes first: a hostile peer may send a long one. Lone surrogates have no UTF-8.
  if (typeof name !== "string" || name.length > MAX_NAME_BYTES || /\p{Surrogate}/u.test(name)) return false;
  return name !== "" && utf8(name).length <= MAX_NAME_BYTES;
}

/** @param {Uint8Array<ArrayBuffer>} secret */
async function identityOf(secret) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", secret));
  return { peerId: toUuid(digest, 8), secret: toBase64url(secret) };
}

/**
 * @param {Uint8Array} bytes 16 or more; the first 16 are used
 * @param {number} version
 */
function toUuid(bytes, version) {
  const id = bytes.slice(0, 16);
  id[6] = (id[6] & 0x0f) | (version << 4);
  id[8] = (id[8] & 0x3f) | 0x80;
  return toHex(id).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
