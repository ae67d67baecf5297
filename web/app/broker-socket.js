/** The page's connection to its server, with a token if the server says where the page gets one (`page.token_url`). */

import { TokenError } from "../lib/channels/errors.js";
import { Socket } from "../lib/channels/socket.js";

/** The application knows of no user who is signed in at this browser. */
export class SignedOutError extends TokenError {
  name = "SignedOutError";

  /**
   * @param {string} message
   * @param {string | null} signInPage its address, if the application has told it
   */
  constructor(message, signInPage) {
    super("token missing", message);
    this.signInPage = signInPage;
  }
}

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
 * @throws {SignedOutError} only the user can help
 */
async function fetchToken(path, signal) {
  const headers = { Accept: "application/json" };
  const response = await fetch(path, { headers, cache: "no-store", redirect: "manual", signal });
  // Many sites lead to their login page instead.
  if (response.type === "opaqueredirect" || SIGNED_OUT.includes(response.status)) {
    throw new SignedOutError(`${path} gives no token: HTTP ${response.status || "redirect"}`, await readSignInPage(response));
  }
  if (!response.ok) throw new Error(`${path} answers with HTTP ${response.status}`);
  const { token } = await response.json();
  return token;
}

/**
 * @param {Response} response may contain `{"sign_in": "/login"}`
 * @returns {Promise<string | null>} null also for pages of other origins, which cannot sign the user in at this one
 */
async function readSignInPage(response) {
  const { sign_in: page } = await response.json().catch(() => null) ?? {};
  if (typeof page !== "string" || !URL.canParse(page, location.href)) return null;
  const url = new URL(page, location.href);
  return url.origin === location.origin ? url.href : null;
}
