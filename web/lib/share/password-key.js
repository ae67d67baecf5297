/** Derives the key that stands for a password of a share. */

import { utf8 } from "../util/bytes.js";
import { KEY_BYTES } from "./share-link.js";

/** Each guess of a password costs about 0.2 s. */
const ITERATIONS = 600_000;

/**
 * @param {Uint8Array<ArrayBuffer>} key of the link
 * @param {string} password empty for none
 * @returns {Promise<Uint8Array<ArrayBuffer> | null>} what both sides prove in addition to the key; null for
 *   no password
 */
export async function derivePasswordKey(key, password) {
  if (password === "") return null;
  const material = await crypto.subtle.importKey("raw", utf8(password.normalize("NFC")), "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt: key, iterations: ITERATIONS };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, material, KEY_BYTES * 8));
}
