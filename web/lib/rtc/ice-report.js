/**
 * What ICE found on both sides, to explain a failure: the types of candidates, and whether the STUN and
 * TURN servers answered.
 */

/** @typedef {"none" | "answered" | "refused" | "unreachable" | "unknown"} IceServerState
 * `none`: not configured; `unknown`: neither a candidate nor an error came from it
 */

/**
 * @typedef {object} IceReport
 * @property {string[]} local types of this side's candidates: `host`, `srflx`, `prflx`, `relay`
 * @property {string[]} remote types of the candidates that the other side sent
 * @property {IceServerState} stun
 * @property {IceServerState} turn
 */

/** The error code of `icecandidateerror` for a server that cannot be reached. */
const UNREACHABLE = 701;

/** Collects an IceReport from the events of an RTCPeerConnection. */
export class IceMonitor {
  #peerId;
  /** @type {Set<string>} */
  #local = new Set();
  /** @type {Set<string>} */
  #remote = new Set();
  /** @type {Map<string, IceServerState>} by scheme, from error events */
  #errors = new Map();
  #configured;

  /**
   * @param {string} peerId for the error message
   * @param {RTCPeerConnection} pc
   */
  constructor(peerId, pc) {
    this.#peerId = peerId;
    const urls = (pc.getConfiguration().iceServers ?? []).flatMap(({ urls }) => urls);
    this.#configured = new Set(urls.map(schemeOf));
    pc.addEventListener("icecandidate", ({ candidate }) => this.#add(this.#local, candidate));
    pc.addEventListener("icecandidateerror", ({ url, errorCode }) => {
      this.#errors.set(schemeOf(url), errorCode === UNREACHABLE ? "unreachable" : "refused");
    });
  }

  /** @param {RTCIceCandidateInit} candidate */
  addRemoteCandidate(candidate) {
    this.#add(this.#remote, candidate);
  }

  /** @returns {IceReport} */
  report() {
    const stun = this.#serverState("stun", this.#local.has("srflx"));
    const turn = this.#serverState("turn", this.#local.has("relay"));
    return { local: [...this.#local], remote: [...this.#remote], stun, turn };
  }

  /** @returns {string} an error message for developers */
  toString() {
    const { local, remote, stun, turn } = this.report();
    const hint = local.length === 0 ? " (a VPN, a blocker or a policy may forbid them)" : "";
    const sides = `this side found ${listTypes(local)}${hint}, the other side sent ${listTypes(remote)}`;
    const servers = `${describeServer("STUN", stun)}, ${describeServer("TURN", turn)}`;
    return `no direct path to ${this.#peerId}: ${sides}; ${servers}`;
  }

  /**
   * @param {Set<string>} types
   * @param {RTCIceCandidateInit | null} candidate
   */
  #add(types, candidate) {
    const type = / typ (host|srflx|prflx|relay)\b/.exec(candidate?.candidate ?? "")?.[1];
    if (type) types.add(type);
  }

  /**
   * @param {"stun" | "turn"} scheme
   * @param {boolean} answered
   * @returns {IceServerState}
   */
  #serverState(scheme, answered) {
    if (!this.#configured.has(scheme)) return "none";
    return answered ? "answered" : (this.#errors.get(scheme) ?? "unknown");
  }
}

/** @param {string} url */
function schemeOf(url) {
  return url.startsWith("turn") ? "turn" : "stun";
}

/** @param {string[]} types */
function listTypes(types) {
  return types.length === 0 ? "no candidates" : `${types.join(" and ")} candidates`;
}

/**
 * @param {string} name
 * @param {IceServerState} state
 */
function describeServer(name, state) {
  if (state === "none") return `no ${name} server is configured`;
  if (state === "unknown") return `${name} gave no address`;
  return state === "answered" ? `${name} answered` : `${name} is ${state}`.replace("is refused", "refused");
}
