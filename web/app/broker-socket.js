/** The page's connection to its server, with a token if the server says where the page gets one (`page.token_url`). */

import { TokenError } from "../lib/channels/errors.js";
import { Socket } from "../lib/channels/socket.js";

/** HTTP statuses of a site at which nobody is signed in. */
const SIGNED_OUT = [401, 403];

export function openSocket() {
  const path = document.querySelector('meta[name="token-url"]')?.getAttribute("content");
  return new Socket("socket", path ? { token: ({ signal }) => fetchToken(path, signal) } : {});
}

/**
 * @param {string} path
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 * @throws {TokenError} nobody is signed in: only the user can help
 */
async function fetchToken(path, signal) {
  const headers = { Accept: "application/json" };
  const response = await fetch(path, { headers, cache: "no-store", redirect: "manual", signal });
  // Many sites lead to their login page instead.
  if (response.type === "opaqueredirect" || SIGNED_OUT.includes(response.status)) {
    throw new TokenError("token missing", `${path} gives no token: HTTP ${response.status || "redirect"}`);
  }
  if (!response.ok) throw new Error(`${path} answers with HTTP ${response.status}`);
  const { token } = await response.json();
  return token;
}
