/**
 * Checks what ICE finds in this browser with the servers that the broker gives: addresses of its own, and an answer
 * from each STUN and TURN server. Each server is asked by a connection of its own, so that the answers can be told apart.
 */

import { Socket } from "../lib/index.js";
import { Peer, createIdentity } from "../lib/rtc/index.js";
import { deferred } from "../lib/util/deferred.js";

/** Servers that are asked. A broker gives at most 16, which may have several URLs each. */
const SERVER_LIMIT = 24;
/** A browser may ask a silent server for a minute; one that answers does so long before. */
const TIMEOUT = 15_000;
/** The error code of `icecandidateerror` for a server that does not answer. */
const UNREACHABLE = 701;

/**
 * @typedef {"answered" | "refused" | "silent" | "unclear" | "invalid"} Answer
 * `unclear`: the server gave no address, and the browser reports no error
 */
/** @typedef {{url: string, kind: "stun" | "turn", answer: Answer, code: number | null}} ServerResult code: of the refusal */
/**
 * @typedef {object} IceResult
 * @property {number} hosts addresses of this device
 * @property {ServerResult[]} servers in the broker's order
 * @property {number} notAsked further servers
 */

/**
 * @param {string} socketUrl
 * @param {AbortSignal} signal
 * @returns {Promise<RTCIceServer[]>} those of the join reply
 */
export async function askBrokerForServers(socketUrl, signal) {
  const socket = new Socket(socketUrl);
  const peer = new Peer(socket, await createIdentity());
  try {
    return (await peer.join({ signal })).iceServers;
  } finally {
    peer.close();
    socket.disconnect();
  }
}

/**
 * @param {RTCIceServer[]} iceServers
 * @returns {Promise<IceResult>}
 */
export async function checkIce(iceServers) {
  const all = iceServers.flatMap(({ urls, ...rest }) => [urls].flat().map((url) => ({ ...rest, urls: url })));
  const asked = all.slice(0, SERVER_LIMIT);
  const [{ hosts }, ...servers] = await Promise.all([gather({ iceServers: [] }), ...asked.map(checkServer)]);
  return { hosts: hosts.size, servers, notAsked: all.length - asked.length };
}

/**
 * @param {string} url
 * @returns {"stun" | "turn"}
 */
function kindOf(url) {
  return url.startsWith("turn") ? "turn" : "stun";
}

/**
 * @param {Omit<RTCIceServer, "urls"> & {urls: string}} server
 * @returns {Promise<ServerResult>}
 */
async function checkServer(server) {
  const kind = kindOf(server.urls);
  const wanted = kind === "turn" ? "relay" : "srflx";
  const result = (/** @type {Answer} */ answer, /** @type {number | null} */ code = null) => ({ url: server.urls, kind, answer, code });
  let found;
  try {
    found = await gather({ iceServers: [server], iceTransportPolicy: kind === "turn" ? "relay" : "all" }, wanted);
  } catch {
    return result("invalid"); // the browser does not take this URL
  }
  const { types, codes, isComplete } = found;
  // A server may be silent on one of the device's networks, and answer on another.
  if (types.has(wanted)) return result("answered");
  const refusal = codes.find((code) => code !== UNREACHABLE);
  if (refusal !== undefined) return result("refused", refusal);
  return result(codes.length > 0 || !isComplete ? "silent" : "unclear");
}

/**
 * @param {RTCConfiguration} configuration
 * @param {string} [wanted] the type of candidate that ends the search
 * @returns {Promise<{types: Set<string>, hosts: Set<string>, codes: number[], isComplete: boolean}>} types of the
 *   candidates, addresses of this device (or the names by which the browser hides them), codes of the errors, and
 *   whether the browser has ended the search itself
 */
async function gather(configuration, wanted) {
  const pc = new RTCPeerConnection(configuration);
  const found = { types: new Set(), hosts: new Set(), codes: /** @type {number[]} */ ([]), isComplete: false };
  const done = deferred();
  const timer = setTimeout(done.resolve, TIMEOUT);
  pc.addEventListener("icecandidate", ({ candidate }) => {
    const [, address, type] = / (\S+) \d+ typ (host|srflx|relay)\b/.exec(candidate?.candidate ?? "") ?? [];
    if (!type) return;
    found.types.add(type);
    if (type === "host") found.hosts.add(address);
    if (type === wanted) done.resolve(undefined);
  });
  pc.addEventListener("icecandidateerror", ({ errorCode }) => void found.codes.push(errorCode));
  pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done.resolve(undefined));
  try {
    pc.createDataChannel("check");
    await pc.setLocalDescription();
    await done.promise;
    found.isComplete = pc.iceGatheringState === "complete";
  } finally {
    clearTimeout(timer);
    pc.close();
  }
  return found;
}
