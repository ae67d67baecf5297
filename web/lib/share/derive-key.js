/** The key of a share, and a password made part of it. What is proven with it is proof.js's business. */

import { utf8 } from "../util/bytes.js";
import { KEY_BYTES } from "./key-proof.js";

/** Makes each guess of a password cost about 0.2 s. */
const ROUNDS = 600_000;

/**
 * @param {Uint8Array<ArrayBuffer>} key from the link
 * @param {string} password none when empty
 * @returns {Promise<Uint8Array<ArrayBuffer>>} the key to prove with
 */
export async function stretch(key, password) {
  if (password === "") return key;
  const material = await crypto.subtle.importKey("raw", utf8(password.normalize("NFC")), "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt: key, iterations: ROUNDS };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, material, KEY_BYTES * 8));
}
