/**
 * Encodes a link as a QR code (ISO/IEC 18004): byte mode, error correction level M, versions 1 to 13, the
 * mask with the lowest penalty.
 */

import { utf8 } from "./bytes.js";

/** Error correction codewords per block, then [blocks, data codewords per block]; level M. */
const VERSIONS = /** @type {Array<[number, ...Array<[number, number]>]>} */ ([
  [10, [1, 16]],
  [16, [1, 28]],
  [26, [1, 44]],
  [18, [2, 32]],
  [24, [2, 43]],
  [16, [4, 27]],
  [18, [4, 31]],
  [22, [2, 38], [2, 39]],
  [22, [3, 36], [2, 37]],
  [26, [4, 43], [1, 44]],
  [30, [1, 50], [4, 51]],
  [22, [6, 36], [2, 37]],
  [22, [8, 37], [1, 38]],
]);

const MASKS = /** @type {Array<(x: number, y: number) => boolean>} */ ([
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
]);

/** The powers of two in the Galois field, and their logarithms. */
const EXP = new Uint8Array(255);
const LOG = new Uint8Array(256);
for (let power = 0, value = 1; power < 255; power++) {
  EXP[power] = value;
  LOG[value] = power;
  value = (value << 1) ^ (value & 128 ? 0x11d : 0);
}

/**
 * @param {string} text up to 331 bytes of UTF-8
 * @returns {boolean[][]} rows of modules, true for dark ones; without the quiet zone
 * @throws {RangeError} the text is too long
 */
export function encodeQr(text) {
  const bytes = utf8(text);
  const version = 1 + VERSIONS.findIndex((_, index) => bytes.length <= capacity(index + 1));
  if (version === 0) throw new RangeError(`${bytes.length} bytes do not fit into a code, limit ${capacity(VERSIONS.length)}`);
  const bits = interleave(dataOf(bytes, version), version).flatMap((byte) => bitsOf(byte, 8));
  const frame = frameOf(version);
  const codes = MASKS.map((mask, number) => draw(frame, bits, mask, number));
  return codes.reduce((best, code) => (penalty(code) < penalty(best) ? code : best));
}

/** @param {number} version */
function capacity(version) {
  const [, ...kinds] = VERSIONS[version - 1];
  return kinds.reduce((sum, [blocks, length]) => sum + blocks * length, 0) - (version < 10 ? 2 : 3);
}

/**
 * @param {Uint8Array} bytes
 * @param {number} version
 * @returns {number[]} data codewords, padded
 */
function dataOf(bytes, version) {
  const header = [...bitsOf(4, 4), ...bitsOf(bytes.length, version < 10 ? 8 : 16)];
  const bits = [...header, ...Array.from(bytes).flatMap((byte) => bitsOf(byte, 8)), 0, 0, 0, 0];
  const words = [];
  for (let at = 0; at < bits.length; at += 8) {
    words.push(bits.slice(at, at + 8).reduce((byte, bit) => byte * 2 + bit, 0));
  }
  const length = capacity(version) + (version < 10 ? 2 : 3);
  for (let pad = 0xec; words.length < length; pad ^= 0xec ^ 0x11) words.push(pad);
  return words;
}

/**
 * @param {number[]} data
 * @param {number} version
 * @returns {number[]} the interleaved codewords of all blocks, then of their error correction
 */
function interleave(data, version) {
  const [correction, ...kinds] = VERSIONS[version - 1];
  const lengths = kinds.flatMap(([blocks, length]) => Array(blocks).fill(length));
  let at = 0;
  const blocks = lengths.map((length) => data.slice(at, (at += length)));
  const checks = blocks.map((block) => remainder(block, correction));
  const columns = (/** @type {number[][]} */ rows) => {
    const longest = Math.max(...rows.map(({ length }) => length));
    return Array.from({ length: longest }, (_, n) => rows.flatMap((row) => row.slice(n, n + 1))).flat();
  };
  return [...columns(blocks), ...columns(checks)];
}

/**
 * @param {number[]} block
 * @param {number} length of the error correction
 */
function remainder(block, length) {
  let divisor = [1];
  for (let n = 0; n < length; n++) {
    const next = [...divisor, 0];
    divisor.forEach((value, at) => (next[at + 1] ^= multiply(value, EXP[n])));
    divisor = next;
  }
  const rest = [...block, ...Array(length).fill(0)];
  for (let at = 0; at < block.length; at++) {
    const factor = rest[at];
    divisor.forEach((value, n) => (rest[at + n] ^= multiply(value, factor)));
  }
  return rest.slice(block.length);
}

/**
 * @param {number} a
 * @param {number} b
 */
function multiply(a, b) {
  return a && b ? EXP[(LOG[a] + LOG[b]) % 255] : 0;
}

/**
 * @param {number} value
 * @param {number} length
 */
function bitsOf(value, length) {
  return Array.from({ length }, (_, at) => (value >>> (length - 1 - at)) & 1);
}

/**
 * @param {number} version
 * @returns {Array<Array<boolean | null>>} the function patterns; null for data modules
 */
function frameOf(version) {
  const size = 17 + 4 * version;
  const frame = Array.from({ length: size }, () => /** @type {Array<boolean | null>} */ (Array(size).fill(null)));
  const square = (/** @type {number} */ cx, /** @type {number} */ cy, /** @type {number} */ reach, /** @type {number[]} */ light) => {
    for (let y = Math.max(0, cy - reach); y <= Math.min(size - 1, cy + reach); y++) {
      for (let x = Math.max(0, cx - reach); x <= Math.min(size - 1, cx + reach); x++) {
        frame[y][x] = !light.includes(Math.max(Math.abs(x - cx), Math.abs(y - cy)));
      }
    }
  };
  for (let at = 8; at < size - 8; at++) frame[6][at] = frame[at][6] = at % 2 === 0;
  const centres = alignment(version, size);
  for (const y of centres) {
    for (const x of centres) if (!isFinder(x, y, size)) square(x, y, 2, [1]);
  }
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) square(x, y, 4, [2, 4]);
  for (let at = 0; at < 9; at++) {
    // Reserved for the format information, which depends on the mask.
    for (const [x, y] of [[at, 8], [8, at], [size - 1 - (at % 8), 8], [8, size - 1 - (at % 8)]]) frame[y][x] ??= false;
  }
  if (version >= 7) writeVersion(frame, version, size);
  return frame;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} size
 */
function isFinder(x, y, size) {
  const [left, top] = [x < 9, y < 9];
  return (left && top) || (left && y > size - 9) || (top && x > size - 9);
}

/**
 * @param {number} version
 * @param {number} size
 */
function alignment(version, size) {
  if (version === 1) return [];
  if (version < 7) return [6, size - 7];
  return [6, (size - 1) / 2, size - 7];
}

/**
 * @param {Array<Array<boolean | null>>} frame
 * @param {number} version
 * @param {number} size
 */
function writeVersion(frame, version, size) {
  const bits = (version << 12) | check(version, 12, 0x1f25);
  for (let n = 0; n < 18; n++) {
    const [far, near] = [size - 11 + (n % 3), Math.floor(n / 3)];
    frame[near][far] = frame[far][near] = ((bits >>> n) & 1) === 1;
  }
}

/**
 * @param {number} value
 * @param {number} length of the check
 * @param {number} generator
 */
function check(value, length, generator) {
  let rest = value << length;
  for (let bit = 31; bit >= length; bit--) if ((rest >>> bit) & 1) rest ^= generator << (bit - length);
  return rest;
}

/**
 * @param {Array<Array<boolean | null>>} frame
 * @param {number[]} bits
 * @param {(x: number, y: number) => boolean} mask
 * @param {number} number of the mask
 * @returns {boolean[][]}
 */
function draw(frame, bits, mask, number) {
  const size = frame.length;
  const code = frame.map((row) => row.map((dark) => dark === true));
  let at = 0;
  for (let pair = 0, right = size - 1; right > 0; right -= 2, pair++) {
    if (right === 6) right = 5; // the timing column
    for (let step = 0; step < 2 * size; step++) {
      const x = right - (step % 2);
      const y = pair % 2 === 0 ? size - 1 - (step >> 1) : step >> 1;
      if (frame[y][x] !== null) continue;
      code[y][x] = (bits[at++] === 1) !== mask(x, y);
    }
  }
  // Level M is 0, so the format information is the number of the mask.
  const format = ((number << 10) | check(number, 10, 0x537)) ^ 0x5412;
  for (let n = 0; n < 15; n++) {
    const dark = ((format >>> n) & 1) === 1;
    const near = n < 6 ? n : n < 8 ? n + 1 : 14 - n;
    if (n < 8) code[near][8] = code[8][size - 1 - n] = dark;
    else code[8][n === 8 ? 7 : near] = code[size - 15 + n][8] = dark;
  }
  code[size - 8][8] = true;
  return code;
}

/** @param {boolean[][]} code */
function penalty(code) {
  const size = code.length;
  const columns = code.map((_, x) => code.map((row) => row[x]));
  let sum = 0;
  for (const line of [...code, ...columns]) {
    const text = line.map((dark) => (dark ? "1" : "0")).join("");
    for (const [run] of text.matchAll(/0{5,}|1{5,}/g)) sum += run.length - 2;
    for (const pattern of ["10111010000", "00001011101"]) sum += 40 * (text.split(pattern).length - 1);
  }
  for (let y = 1; y < size; y++) {
    for (let x = 1; x < size; x++) {
      const dark = code[y][x];
      if (dark === code[y - 1][x] && dark === code[y][x - 1] && dark === code[y - 1][x - 1]) sum += 3;
    }
  }
  const dark = code.flat().filter(Boolean).length / size ** 2;
  return sum + 10 * Math.floor(Math.abs(dark - 0.5) * 20);
}
