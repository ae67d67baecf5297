/** Signs tokens as a backend does, without a library. */

import { createHmac } from "node:crypto";

export const SECRET = "a secret of at least 32 bytes, for tests";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/**
 * @param {Record<string, unknown>} claims beside `sub`, `aud` and `exp`, which they may replace
 * @param {string} [secret]
 * @returns {string}
 */
export function sign(claims, secret = SECRET) {
  const all = { sub: "u7", aud: "handclasp", exp: Math.floor(Date.now() / 1000) + 600, ...claims };
  const message = `${part({ alg: "HS256", typ: "JWT" })}.${part(all)}`;
  return `${message}.${createHmac("sha256", secret).update(message).digest("base64url")}`;
}

/** @param {number} seconds from now */
export const at = (seconds) => Math.floor(Date.now() / 1000) + seconds;
