/** The table of this broker's endpoints. */

import { make } from "./dom.js";
import { httpUrl, webSocketUrl } from "./endpoints.js";

/** @typedef {import("./endpoints.js").Endpoint} Endpoint */

/**
 * @typedef {object} Protocol
 * @property {string} name
 * @property {(path: string) => string} url what a client is given
 * @property {string} clients
 * @property {string} docs a file of the documentation
 */

/** @type {Record<string, Protocol>} */
const PROTOCOLS = {
  phoenix: { name: "Phoenix Channels", url: webSocketUrl, clients: "phoenix.js, the Handclasp library", docs: "channels.md" },
  peerjs: { name: "PeerJS", url: (path) => httpUrl(`${path}/`), clients: "PeerJS 1.x and 0.3", docs: "coming-from-peerserver.md" },
  socketio: { name: "Socket.IO", url: (path) => httpUrl(`${path}/`), clients: "socket.io-client 0.9 to 4", docs: "coming-from-socketio.md" },
  engineio: { name: "Engine.IO", url: (path) => httpUrl(`${path}/`), clients: "engine.io-client", docs: "protocols.md" },
  hello: { name: "HelloWebRTC", url: webSocketUrl, clients: "a WebSocket", docs: "protocols.md" },
  relay: { name: "Plain relay", url: webSocketUrl, clients: "a WebSocket", docs: "protocols.md" },
  custom: { name: "This server's own", url: webSocketUrl, clients: "its own clients", docs: "protocols.md" },
  ice: { name: "STUN and TURN servers", url: httpUrl, clients: "fetch, curl", docs: "operations.md" },
};

/** Which web pages may connect, in words. */
const PAGES = { same: "pages of this host", any: "pages of every site", listed: "pages of some sites" };

/**
 * @param {HTMLElement} body of the table
 * @param {Endpoint[]} endpoints
 */
export function fillTable(body, endpoints) {
  body.replaceChildren(...endpoints.flatMap((endpoint) => {
    const protocol = PROTOCOLS[endpoint.protocol];
    return protocol ? [row(endpoint, protocol)] : [];
  }));
}

/**
 * @param {Endpoint} endpoint
 * @param {Protocol} protocol
 */
function row({ path, pages }, { name, url, clients, docs }) {
  const title = make("th", "", name);
  title.scope = "row";
  const link = make("a", "", "Docs", make("span", "visually-hidden", ` of ${name} at ${path || "/"}`));
  link.href = `../docs/${docs}`;
  const cells = [make("td", "", make("code", "", url(path))), make("td", "", clients), make("td", "", PAGES[pages]), make("td", "", link)];
  const made = make("tr", "", title, ...cells);
  // On a narrow screen the style makes blocks of the cells, and browsers then forget what they are.
  made.setAttribute("role", "row");
  title.setAttribute("role", "rowheader");
  for (const cell of cells) cell.setAttribute("role", "cell");
  return made;
}
