/**
 * ConnectionFactory with the constructor of tsujio's webrtc-connectionpool: it makes its socket and its peer from
 * the options of a PeerJS peer.
 *
 *     const factory = new ConnectionFactory({ peer: { id: "alice", options: { host: "example.org", secure: true } } });
 *     factory.create("bob", (connection, error) => connection?.send("hello"));
 */

import { Socket } from "../../channels/socket.js";
import { namedIdentity } from "../identity.js";
import { Peer } from "../peer.js";
import { ConnectionPool } from "./connection-pool.js";

/** An incoming connection may open while the one that it displaces is still closing. */
const CONNECTIONS_PER_POOLED = 2;
const MIN_CONNECTIONS = 64;

/**
 * @typedef {object} BrokerOptions as for a PeerJS peer; other options of PeerJS are ignored
 * @property {string} [host] of the broker (default: the page's; `/` means the same)
 * @property {number | string} [port] (default: the page's, or with `host` that of the scheme)
 * @property {string} [path] what the broker's paths begin with (default `/`)
 * @property {boolean} [secure] whether to use TLS (default: as the page)
 * @property {string} [key] added to the URL's query
 * @property {import("../../channels/token-source.js").TokenOption} [token] as of a `Socket`
 * @property {RTCConfiguration} [config] for each RTCPeerConnection; its `iceServers` replace the broker's
 * @property {new (url: string) => WebSocket} [transport] (default: the platform's WebSocket)
 * @property {(config: RTCConfiguration) => RTCPeerConnection} [createConnection]
 */

/**
 * @typedef {object} FactoryOptions
 * @property {{id?: string, options?: BrokerOptions}} [peer] `id` is any text (default: a random UUID)
 */

export class ConnectionFactory extends ConnectionPool {
  #socket;
  #peer;

  /** @param {FactoryOptions & Omit<import("./connection-pool.js").PoolOptions, "peer">} [options] */
  constructor({ peer: { id, options = {} } = {}, ...poolOptions } = {}) {
    const { clock, connectionPoolSize = 0 } = poolOptions;
    const params = options.key === undefined ? undefined : { key: options.key };
    const socket = new Socket(brokerUrl(options), { clock, params, token: options.token, transport: options.transport });
    const peer = new Peer(socket, namedIdentity(id ? String(id) : undefined), {
      createConnection: connectionMaker(options),
      maxConnections: Math.max(MIN_CONNECTIONS, CONNECTIONS_PER_POOLED * connectionPoolSize),
    });
    super({ ...poolOptions, peer });
    this.#socket = socket;
    this.#peer = peer;
  }

  /**
   * Gives the id up, aborts pending creations and destroys all connections.
   *
   * @returns {Promise<void>} resolves when all are closed
   */
  async destroy() {
    const closed = super.destroy();
    this.#socket.disconnect();
    await closed;
    this.#peer.close();
  }
}

/**
 * @param {BrokerOptions} options
 * @param {Pick<Location, "protocol" | "hostname" | "port"> | undefined} [page]
 * @returns {string} the URL of the broker's socket
 * @throws {TypeError} the host is invalid, or there is neither a host nor a page
 * @internal
 */
export function brokerUrl({ host, port, path = "/", secure }, page = globalThis.location) {
  const isOfPage = host === undefined || host === "" || host === "/";
  const scheme = (secure ?? page?.protocol === "https:") ? "wss" : "ws";
  const url = new URL(`${scheme}://${isOfPage ? (page?.hostname ?? "") : host}`);
  if (port !== undefined) url.port = String(port);
  else if (isOfPage) url.port = page?.port ?? "";
  url.pathname = `/${path}/socket`.replace(/\/+/g, "/");
  return url.href;
}

/**
 * @param {BrokerOptions} options
 * @returns {(config: RTCConfiguration) => RTCPeerConnection}
 */
function connectionMaker({ config = {}, createConnection = (given) => new RTCPeerConnection(given) }) {
  const iceServers = config.iceServers?.map(modernIceServer);
  return (given) => createConnection({ ...given, ...config, iceServers: iceServers ?? given.iceServers });
}

/**
 * In 2014 a server had one `url`.
 *
 * @param {RTCIceServer & {url?: string}} server
 * @returns {RTCIceServer}
 */
function modernIceServer({ url, ...server }) {
  return url === undefined ? server : { ...server, urls: url };
}
