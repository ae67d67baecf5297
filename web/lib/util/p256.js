/**
 * The two functions of the curve P-256 that WebCrypto lacks: from bytes to a point of which nobody knows
 * the logarithm (RFC 9380, P256_XMD:SHA-256_SSWU_NU_), and from an x coordinate to a point. Multiplication
 * is WebCrypto's ECDH.
 *
 * BigInt does not run in constant time. All exponents here are constants, no branch skips a power, and
 * passwords are stretched before they come here.
 */

import { concat, fromHex, toHex, utf8 } from "./bytes.js";

const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const A = P - 3n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
/** The constant of the map, which RFC 9380 chose. */
const Z = P - 10n;
/** Bytes that are reduced to one element of the field: 16 more than it has, so that all are equally likely. */
const UNIFORM_BYTES = 48;
const HASH_BYTES = 32;
const HASH_BLOCK_BYTES = 64;
const COORDINATE_BYTES = 32;
const UNCOMPRESSED = 4;

/**
 * @param {Uint8Array<ArrayBuffer>} message
 * @param {string} tag of the use, shorter than 256 bytes
 * @returns {Promise<Uint8Array<ArrayBuffer>>} the point, uncompressed
 */
export async function encodeToCurve(message, tag) {
  const u = toNumber(await expandMessage(message, utf8(tag))) % P;
  const { x, y } = mapToCurve(u);
  return encodePoint(x, u % 2n === y % 2n ? y : mod(-y));
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes the x coordinate of a point
 * @returns {Uint8Array<ArrayBuffer>} one of the two points with this coordinate, uncompressed
 */
export function pointOf(bytes) {
  const x = toNumber(bytes);
  return encodePoint(x, squareRoot(rightSide(x)));
}

/**
 * `expand_message_xmd` of RFC 9380 with SHA-256.
 *
 * @param {Uint8Array<ArrayBuffer>} message
 * @param {Uint8Array<ArrayBuffer>} tag
 */
async function expandMessage(message, tag) {
  const suffix = concat(tag, Uint8Array.of(tag.length));
  const start = concat(new Uint8Array(HASH_BLOCK_BYTES), message, Uint8Array.of(0, UNIFORM_BYTES, 0), suffix);
  const b0 = await sha256(start);
  const b1 = await sha256(concat(b0, Uint8Array.of(1), suffix));
  const mixed = b0.map((byte, index) => byte ^ b1[index]);
  const b2 = await sha256(concat(mixed, Uint8Array.of(2), suffix));
  return concat(b1, b2.subarray(0, UNIFORM_BYTES - HASH_BYTES));
}

/**
 * The simplified SWU map.
 *
 * @param {bigint} u
 * @returns {{x: bigint, y: bigint}}
 */
function mapToCurve(u) {
  const zu2 = mod(Z * u * u);
  const inverse = power(mod(zu2 * zu2 + zu2), P - 2n); // 0 for 0
  const first = inverse === 0n ? mod(B * power(mod(Z * A), P - 2n)) : mod(-B * power(A, P - 2n) * (1n + inverse));
  const second = mod(zu2 * first);
  const [y1, y2] = [squareRoot(rightSide(first)), squareRoot(rightSide(second))];
  return mod(y1 * y1) === rightSide(first) ? { x: first, y: y1 } : { x: second, y: y2 };
}

/** @param {bigint} x @returns {bigint} the right side of y² = x³ + Ax + B */
function rightSide(x) {
  return mod(mod(x * x + A) * x + B);
}

/** @param {bigint} value @returns {bigint} its square root, if it has one */
function squareRoot(value) {
  return power(value, (P + 1n) / 4n);
}

/**
 * @param {bigint} base
 * @param {bigint} exponent
 */
function power(base, exponent) {
  let result = 1n;
  for (const digit of exponent.toString(2)) {
    result = mod(result * result);
    if (digit === "1") result = mod(result * base);
  }
  return result;
}

/** @param {bigint} value */
function mod(value) {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

/** @param {Uint8Array} bytes big-endian */
function toNumber(bytes) {
  return BigInt(`0x${toHex(bytes)}`);
}

/**
 * @param {bigint} x
 * @param {bigint} y
 */
function encodePoint(x, y) {
  const bytes = (/** @type {bigint} */ value) => fromHex(value.toString(16).padStart(2 * COORDINATE_BYTES, "0"));
  return concat(Uint8Array.of(UNCOMPRESSED), bytes(x), bytes(y));
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}
