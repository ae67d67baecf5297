/** Signs tokens as a backend does, without a library. */

import { createHmac } from "node:crypto";

export const SECRET = "a secret of at least 32 bytes, for tests";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/**
 * @param {Record<string, unknown>} header
 * @param {Record<string, unknown>} claims beside `sub`, `aud` and `exp`, which they may replace
 * @param {(message: string) => Buffer} sign
 * @returns {string}
 */
export function jwt(header, claims, sign) {
  const message = `${part(header)}.${part({ sub: "u7", aud: "handclasp", exp: at(600), ...claims })}`;
  return `${message}.${sign(message).toString("base64url")}`;
}

/**
 * @param {Record<string, unknown>} claims beside `sub`, `aud` and `exp`, which they may replace
 * @param {string} [secret]
 * @returns {string}
 */
export function sign(claims, secret = SECRET) {
  const hmac = (message) => createHmac("sha256", secret).update(message).digest();
  return jwt({ alg: "HS256", typ: "JWT" }, claims, hmac);
}

/** @param {number} seconds from now */
export const at = (seconds) => Math.floor(Date.now() / 1000) + seconds;
