/** What the check of ICE found, in sentences: what it means, and what to do. */

/** @typedef {import("./ice-check.js").IceResult} IceResult */
/** @typedef {import("./ice-check.js").ServerResult} ServerResult */
/** @typedef {{kind: "good" | "wait" | "bad", title: string, text: string}} Finding */

const SET_SERVERS = "Add one to peer.ice_servers in the broker's configuration.";

/** @type {Record<import("./ice-check.js").Answer, (server: ServerResult) => Omit<Finding, "kind">>} */
const STUN = {
  answered: () => ({ title: "STUN answered", text: "This browser knows its public address. Peers in other networks can reach it, unless its router or firewall forbids it." }),
  refused: ({ code }) => ({ title: `STUN refused (error ${code})`, text: "The server answered with an error. Check that its URL names a STUN server." }),
  silent: () => ({ title: "STUN did not answer", text: "Check the host and the port, that the server runs, and that no firewall between here and there blocks UDP." }),
  unclear: () => ({ title: "STUN gave no other address", text: "Either no router changes this browser's address, as on a server or in the same network, or the server is silent. Check from another network." }),
  invalid: () => ({ title: "The browser does not accept this URL", text: "It must look like stun:stun.example.com:3478." }),
};
/** @type {typeof STUN} */
const TURN = {
  answered: () => ({ title: "TURN allocated an address", text: "Peers can reach this browser through the server where nothing else works." }),
  refused: ({ code }) => ({ title: `TURN refused (error ${code})`, text: refusalOf(code) }),
  silent: () => ({ title: "TURN did not answer", text: "Check the host and the port, that the server runs, and that no firewall blocks it. Where UDP is blocked, add a URL with ?transport=tcp, or one that begins with turns:." }),
  unclear: () => ({ title: "TURN allocated nothing", text: "The browser does not say why. Check the server's log, and that the scheme and the transport of the URL are those of the server." }),
  invalid: () => ({ title: "The browser does not accept this URL", text: "It must look like turn:turn.example.com:3478, with a username and a credential, or a secret." }),
};

/** @param {number | null} code of STUN and TURN */
function refusalOf(code) {
  if (code === 401) return "It does not accept the username and the credential. Check that the broker and the server have the same secret, and that the clocks of both are right.";
  if (code === 403) return "It forbids this client. Check its lists of allowed and denied addresses.";
  if (code === 486 || code === 508) return "It has no room for more allocations. Raise its quota, or its range of ports.";
  return "Check the server's log.";
}

/**
 * @param {IceResult} result
 * @returns {Finding[]} the most important one first
 */
export function findingsOf(result) {
  const { hosts, servers, notAsked } = result;
  const findings = [verdictOf(result), hostFinding(hosts)];
  for (const kind of /** @type {const} */ (["stun", "turn"])) {
    const some = servers.filter((server) => server.kind === kind);
    if (some.length === 0) findings.push(missing(kind));
    findings.push(...some.map(serverFinding));
  }
  if (notAsked > 0) findings.push({ kind: "wait", title: `${notAsked} more servers were not asked`, text: "Few servers are enough: browsers become slow with many." });
  return findings;
}

/**
 * @param {IceResult} result
 * @returns {Finding}
 */
function verdictOf({ hosts, servers }) {
  const has = (/** @type {string} */ kind) => servers.some((server) => server.kind === kind && server.answer === "answered");
  if (has("turn")) return { kind: "good", title: "This browser can connect from almost everywhere", text: "It has a TURN server for networks that block direct connections." };
  if (hosts === 0) return { kind: "bad", title: "This browser cannot connect to anybody", text: "It has no address to offer." };
  if (has("stun")) return { kind: "wait", title: "This browser can connect to most networks", text: "Without a TURN server, it fails where a router or a firewall blocks direct connections." };
  return { kind: "wait", title: "This browser can connect in its own network only", text: "Peers in other networks need a STUN server that answers, and some a TURN server." };
}

/**
 * @param {number} count
 * @returns {Finding}
 */
function hostFinding(count) {
  if (count === 0) return { kind: "bad", title: "No addresses of this device", text: "A VPN, an extension or a policy of this browser hides them. Switch it off for this page, or use a TURN server." };
  return { kind: "good", title: count === 1 ? "1 address of this device" : `${count} addresses of this device`, text: "Peers in the same network can reach it." };
}

/**
 * @param {"stun" | "turn"} kind
 * @returns {Finding}
 */
function missing(kind) {
  return kind === "stun"
    ? { kind: "wait", title: "No STUN server is configured", text: `Peers in different networks do not find each other. ${SET_SERVERS}` }
    : { kind: "wait", title: "No TURN server is configured", text: `Where direct connections are blocked, peers do not connect. ${SET_SERVERS}` };
}

/**
 * @param {ServerResult} server
 * @returns {Finding}
 */
function serverFinding(server) {
  const { title, text } = (server.kind === "stun" ? STUN : TURN)[server.answer](server);
  const kind = server.answer === "answered" ? "good" : server.answer === "unclear" ? "wait" : "bad";
  return { kind, title: `${title}: ${server.url}`, text };
}
