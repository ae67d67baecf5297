/** Derives the key of a share from the key in its link and a password. */

import { utf8 } from "../util/bytes.js";
import { KEY_BYTES } from "./key-proof.js";

/** Each guess of a password costs about 0.2 s. */
const ITERATIONS = 600_000;

/**
 * @param {Uint8Array<ArrayBuffer>} linkKey from the link
 * @param {string} password empty for none
 * @returns {Promise<Uint8Array<ArrayBuffer>>} the key that both sides prove
 */
export async function deriveKey(linkKey, password) {
  if (password === "") return linkKey;
  const material = await crypto.subtle.importKey("raw", utf8(password.normalize("NFC")), "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt: linkKey, iterations: ITERATIONS };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, material, KEY_BYTES * 8));
}
