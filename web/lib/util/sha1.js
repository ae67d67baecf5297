/**
 * SHA-1 of a short text, where WebCrypto is missing (pages without TLS) or a promise is in the way. Name-based
 * UUIDs need it. It is too weak to sign anything.
 */

const BLOCK = 64;
const START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];

/**
 * @param {Uint8Array} bytes
 * @returns {Uint8Array<ArrayBuffer>} 20 bytes
 */
export function sha1(bytes) {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / BLOCK) * BLOCK);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const blocks = new DataView(padded.buffer);
  blocks.setUint32(padded.length - 8, Math.floor((bytes.length * 8) / 2 ** 32));
  blocks.setUint32(padded.length - 4, (bytes.length * 8) >>> 0);
  const state = Int32Array.from(START);
  for (let at = 0; at < padded.length; at += BLOCK) compress(state, blocks, at);
  const digest = new DataView(new ArrayBuffer(20));
  state.forEach((word, i) => digest.setInt32(i * 4, word));
  return new Uint8Array(digest.buffer);
}

/**
 * @param {Int32Array} state
 * @param {DataView} blocks
 * @param {number} at
 */
function compress(state, blocks, at) {
  const words = new Int32Array(80);
  for (let i = 0; i < 16; i++) words[i] = blocks.getInt32(at + i * 4);
  for (let i = 16; i < 80; i++) words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
  let [a, b, c, d, e] = state;
  words.forEach((word, i) => {
    const next = (rotate(a, 5) + e + word + mix(i, b, c, d)) | 0;
    [a, b, c, d, e] = [next, a, rotate(b, 30), c, d];
  });
  [a, b, c, d, e].forEach((word, i) => (state[i] += word));
}

/**
 * The function and the constant of a round (FIPS 180-4).
 *
 * @param {number} round
 * @param {number} b
 * @param {number} c
 * @param {number} d
 */
function mix(round, b, c, d) {
  if (round < 20) return ((b & c) | (~b & d)) + 0x5a827999;
  if (round < 40) return (b ^ c ^ d) + 0x6ed9eba1;
  if (round < 60) return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
  return (b ^ c ^ d) + 0xca62c1d6;
}

/**
 * @param {number} word
 * @param {number} bits
 */
function rotate(word, bits) {
  return (word << bits) | (word >>> (32 - bits));
}
