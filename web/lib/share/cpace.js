/**
 * CPace on P-256 with SHA-256 (draft-irtf-cfrg-cpace): two sides that have the same password agree on a
 * key. An attacker in between, or in the place of one side, learns nothing from which passwords could be
 * tried later: each try takes a connection and an answer of the other side.
 *
 * The draft allows a point or its negative, so WebCrypto's ECDH is enough, although it returns only the x
 * coordinate.
 */

import { concat, utf8 } from "../util/bytes.js";
import { ProtocolError } from "../util/errors.js";
import { encodeToCurve, pointOf } from "../util/p256.js";

const NAME = "CPaceP256_XMD:SHA-256_SSWU_NU_";
const CURVE = { name: "ECDH", namedCurve: "P-256" };
const HASH_BLOCK_BYTES = 64;
const COORDINATE_BITS = 256;

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/**
 * @typedef {object} Session what both sides know
 * @property {Bytes} password or a key that is derived from it
 * @property {Bytes} channel identifies the two sides and their connection
 * @property {Bytes} id of this run, never used before
 */

/**
 * @param {Session} session
 * @returns {Promise<Bytes>} the point of this password in this session
 */
export function calculateGenerator({ password, channel, id }) {
  const [name, secret] = [withLength(utf8(NAME)), withLength(password)];
  const padding = new Uint8Array(Math.max(0, HASH_BLOCK_BYTES - 1 - name.length - secret.length));
  return encodeToCurve(concat(name, secret, withLength(padding), withLength(channel), withLength(id)), `${NAME}_DST`);
}

/**
 * The part of one side.
 *
 * @param {Session} session
 * @param {CryptoKeyPair} [keyPair] for tests
 * @returns {Promise<{privateKey: CryptoKey, point: Bytes}>} `point` is for the other side
 */
export async function startExchange(session, keyPair) {
  const { privateKey } = keyPair ?? (await crypto.subtle.generateKey(CURVE, false, ["deriveBits"]));
  return { privateKey, point: pointOf(await multiply(await calculateGenerator(session), privateKey)) };
}

/**
 * @param {object} exchange
 * @param {Session} exchange.session
 * @param {CryptoKey} exchange.privateKey of this side
 * @param {Bytes} exchange.remotePoint of the other side
 * @param {[Bytes, Bytes]} exchange.messages `messageOf` the side that began, and of the other one
 * @returns {Promise<Bytes>} the key, which only a side with the same password has
 * @throws {ProtocolError} the other side sent no point of the curve
 */
export async function finishExchange({ session, privateKey, remotePoint, messages }) {
  const secret = await multiply(remotePoint, privateKey);
  const parts = [utf8(`${NAME}_ISK`), session.id, secret].map(withLength);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts, ...messages)));
}

/**
 * @param {Bytes} point
 * @param {Bytes} data of the side that sends it
 * @returns {Bytes}
 */
export function messageOf(point, data) {
  return concat(withLength(point), withLength(data));
}

/**
 * @param {Bytes} point
 * @param {CryptoKey} privateKey
 * @returns {Promise<Bytes>} the x coordinate of the product
 */
async function multiply(point, privateKey) {
  const publicKey = await crypto.subtle.importKey("raw", point, CURVE, false, []).catch(() => {
    throw new ProtocolError("not a point of P-256");
  });
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "ECDH", public: publicKey }, privateKey, COORDINATE_BITS));
}

/** @param {Bytes} bytes @returns {Bytes} with their number before them, in LEB128 */
function withLength(bytes) {
  const digits = [];
  let rest = bytes.length;
  for (; rest >= 128; rest >>>= 7) digits.push((rest & 127) | 128);
  return concat(Uint8Array.of(...digits, rest), bytes);
}
