/** The URL of a server's endpoint, and what is wrong with one at which no WebSocket opens. */

import { EndpointError, tokenError } from "./errors.js";

const SCHEMES = ["ws:", "wss:", "http:", "https:"];
/**
 * The part of the platform's `fetch` that is needed here.
 *
 * @typedef {(url: string, options: {headers: Record<string, string>, redirect: "manual", cache: "no-store", signal: AbortSignal}) =>
 *   Promise<{type: string, status: number, body: Body | null}>} Fetch
 */

/**
 * @typedef {object} Body
 * @property {() => {read: () => Promise<{value?: Uint8Array}>, releaseLock: () => void}} getReader
 * @property {() => Promise<void>} cancel
 */

/** The header that has a token where there is no WebSocket. */
const TOKEN_HEADER = "X-Phoenix-AuthToken";

/** HTTP statuses of a refused token, and of a subject that has too many sockets. */
export const REFUSALS = [403, 429];
/** HTTP statuses of a server that has something else at this URL. An endpoint answers 400 or 426 to a plain request. */
const ELSEWHERE = [404, 405, 410, 421];

/**
 * @param {string} text absolute, or relative to the page
 * @returns {URL}
 * @throws {TypeError} it is no URL of a WebSocket
 */
export function parseEndpoint(text) {
  const base = globalThis.location?.href;
  if (!URL.canParse(text, base)) throw new TypeError(`${JSON.stringify(text)} is no URL`);
  const url = new URL(text, base);
  if (!SCHEMES.includes(url.protocol)) {
    throw new TypeError(`URL of a socket begins with ws://, wss://, http:// or https://, not with ${url.protocol}`);
  }
  url.hash = "";
  return url;
}

/**
 * @param {URL} endpoint
 * @param {Record<string, string>} params
 * @returns {string} the URL of the WebSocket
 */
export function endpointUrl(endpoint, params) {
  const url = new URL(endpoint);
  url.protocol = url.protocol.replace("http", "ws");
  url.pathname = `${url.pathname.replace(/\/$/, "")}/websocket`;
  for (const [key, value] of Object.entries(params)) url.searchParams.set(key, value);
  url.searchParams.set("vsn", "2.0.0");
  return url.href;
}

/**
 * Asks by HTTP what is at the URL of a WebSocket that did not open: a browser does not tell why.
 *
 * @param {string} webSocketUrl
 * @param {string} token that the WebSocket was to be opened with; empty: none
 * @param {Fetch} fetch
 * @param {AbortSignal} signal
 * @returns {Promise<EndpointError | import("./errors.js").TokenError | null>} null: nothing is wrong with the URL or the
 *   token, or it cannot be told
 */
export async function findFault(webSocketUrl, token, fetch, signal) {
  const url = webSocketUrl.replace(/^ws/, "http");
  /** @type {Record<string, string>} */
  const headers = token ? { [TOKEN_HEADER]: token } : {};
  let response;
  let text;
  try {
    response = await fetch(url, { headers, redirect: "manual", cache: "no-store", signal });
    text = REFUSALS.includes(response.status) ? await beginOf(response.body) : "";
  } catch {
    return null; // no server answers, or a page of another origin may not read what it says
  }
  void response.body?.cancel().catch(() => {});
  const { type, status } = response;
  const { origin, pathname } = new URL(url);
  // Something between took the header away, so the answer says nothing about the token.
  if (token && text === "token missing") return null;
  const refused = tokenError(text);
  if (refused) return refused;
  if (status === 401 || status === 403) {
    return new EndpointError("forbidden", `server at ${origin} refuses the connection (HTTP ${status})`);
  }
  if (type === "opaqueredirect" || (status >= 200 && status < 400) || ELSEWHERE.includes(status)) {
    const endpoint = pathname.replace(/\/websocket$/, "");
    return new EndpointError("no_endpoint", `server at ${origin} has no Channels endpoint at ${endpoint} (HTTP ${status}): check the URL`);
  }
  return null;
}

/**
 * @param {Body | null} body
 * @returns {Promise<string>} what arrives first of it; the reason of a refusal is short
 */
async function beginOf(body) {
  const reader = body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  reader?.releaseLock();
  return new TextDecoder().decode(value);
}
