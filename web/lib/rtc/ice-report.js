/**
 * What ICE found on the way to a peer, so that a failure can be explained: which kinds of
 * addresses each side had, and whether the STUN and TURN servers answered. It only looks.
 */

/** @typedef {"none" | "answered" | "refused" | "unreachable" | "unknown"} ServerState
 * `none`: not configured; `unknown`: no address came of it, and no error either
 */

/**
 * @typedef {object} PathReport
 * @property {string[]} local kinds of this side's candidates: `host`, `srflx`, `prflx`, `relay`
 * @property {string[]} remote those that the other side sent
 * @property {ServerState} stun
 * @property {ServerState} turn
 */

const UNREACHABLE = 701;

export class Path {
  #peerId;
  /** @type {Set<string>} */
  #local = new Set();
  /** @type {Set<string>} */
  #remote = new Set();
  /** @type {Map<string, ServerState>} by scheme, from errors */
  #errors = new Map();
  #configured;

  /**
   * @param {string} peerId for the words
   * @param {RTCPeerConnection} pc
   */
  constructor(peerId, pc) {
    this.#peerId = peerId;
    const urls = (pc.getConfiguration().iceServers ?? []).flatMap(({ urls }) => urls);
    this.#configured = new Set(urls.map(scheme));
    pc.addEventListener("icecandidate", ({ candidate }) => this.#add(this.#local, candidate));
    pc.addEventListener("icecandidateerror", ({ url, errorCode }) => {
      this.#errors.set(scheme(url), errorCode === UNREACHABLE ? "unreachable" : "refused");
    });
  }

  /** @param {RTCIceCandidateInit} candidate of the other side */
  heard(candidate) {
    this.#add(this.#remote, candidate);
  }

  /** @returns {PathReport} */
  report() {
    const stun = this.#server("stun", this.#local.has("srflx"));
    const turn = this.#server("turn", this.#local.has("relay"));
    return { local: [...this.#local], remote: [...this.#remote], stun, turn };
  }

  /** @returns {string} for people who have to find out why */
  toString() {
    const { local, remote, stun, turn } = this.report();
    const blocked = local.length === 0 ? " (a VPN, a blocker or a policy may forbid them)" : "";
    const sides = `this side found ${kinds(local)}${blocked}, the other side sent ${kinds(remote)}`;
    const servers = `${server("STUN", stun)}, ${server("TURN", turn)}`;
    return `no direct path to ${this.#peerId}: ${sides}; ${servers}`;
  }

  /**
   * @param {Set<string>} known
   * @param {RTCIceCandidateInit | null} candidate
   */
  #add(known, candidate) {
    const kind = / typ (host|srflx|prflx|relay)\b/.exec(candidate?.candidate ?? "")?.[1];
    if (kind) known.add(kind);
  }

  /**
   * @param {"stun" | "turn"} name
   * @param {boolean} answered
   * @returns {ServerState}
   */
  #server(name, answered) {
    if (!this.#configured.has(name)) return "none";
    return answered ? "answered" : (this.#errors.get(name) ?? "unknown");
  }
}

/** @param {string} url */
function scheme(url) {
  return url.startsWith("turn") ? "turn" : "stun";
}

/** @param {string[]} found */
function kinds(found) {
  return found.length === 0 ? "no candidates" : `${found.join(" and ")} candidates`;
}

/**
 * @param {string} name
 * @param {ServerState} state
 */
function server(name, state) {
  if (state === "none") return `no ${name} server is configured`;
  if (state === "unknown") return `${name} gave no address`;
  return state === "answered" ? `${name} answered` : `${name} is ${state}`.replace("is refused", "refused");
}
