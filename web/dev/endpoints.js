/**
 * What this broker serves, and the URLs by which a client reaches it from here: with the host, port, scheme and path
 * of this very page, so they are right behind a proxy too.
 */

/**
 * @typedef {object} Endpoint an entry of `endpoints.json`
 * @property {string} protocol
 * @property {string} path
 * @property {"same" | "any" | "listed"} pages which web pages may connect
 * @property {boolean} [needs_key] PeerJS clients must know the key of this broker
 */

/** @returns {Promise<Endpoint[]>} in the broker's order */
export async function loadEndpoints() {
  const response = await fetch(new URL("dev/endpoints.json", brokerUrl()));
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return (await response.json()).endpoints;
}

/** @returns {URL} of the broker's `/`, below whatever path a proxy serves it */
export function brokerUrl() {
  return new URL("../", document.baseURI);
}

/**
 * @param {string} path of an endpoint, and what follows it
 * @returns {string} with http or https
 */
export function httpUrl(path) {
  return brokerUrl().href.replace(/\/$/, "") + path;
}

/**
 * @param {string} path
 * @returns {string} with ws or wss
 */
export function webSocketUrl(path) {
  return httpUrl(path).replace(/^http/, "ws");
}

/**
 * @param {Endpoint[]} endpoints
 * @param {string} protocol
 */
export function find(endpoints, protocol) {
  return endpoints.find((endpoint) => endpoint.protocol === protocol) ?? null;
}
