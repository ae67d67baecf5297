/**
 * A peer's identity: a secret, and the self-certifying id that is derived from it. A client that knows
 * only the id cannot join with it. There is no account and no state on the server.
 */

import { fromBase64url, randomBytes, toBase64url, toHex } from "../util/bytes.js";

const SECRET_BYTES = 32;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * @typedef {object} Identity
 * @property {string} peerId public: a version 8 UUID in canonical lower-case form
 * @property {string} secret base64url without padding; it is sent only to the broker, to join
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
 * @param {string} text
 * @returns {boolean} whether it is a UUID in canonical lower-case form
 */
export function isPeerId(text) {
  return UUID.test(text);
}

/** @param {Uint8Array<ArrayBuffer>} secret */
async function identityOf(secret) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", secret));
  const id = digest.slice(0, 16);
  id[6] = (id[6] & 0x0f) | 0x80;
  id[8] = (id[8] & 0x3f) | 0x80;
  const peerId = toHex(id).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return { peerId, secret: toBase64url(secret) };
}
