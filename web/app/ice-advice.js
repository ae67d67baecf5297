/** Explains why ICE found no path between two browsers: the likely cause with a remedy, then the findings. */

/** @typedef {import("../lib/rtc/ice-report.js").IceReport} IceReport */
/** @typedef {keyof typeof import("./locales/en.js").default} TextKey */

/**
 * @param {IceReport} report
 * @returns {TextKey[]} whole sentences, in this order
 */
export function iceAdvice({ local, remote, stun, turn }) {
  return [
    "fail.no_path",
    causeOf(local, remote, stun, turn),
    `path.here.${reachOf(local)}`,
    `path.there.${reachOf(remote)}`,
    // STUN servers refuse no one, so everything but an answer means that the server was silent.
    stun === "none" || stun === "answered" ? `path.stun.${stun}` : "path.stun.unreachable",
    turn === "unknown" ? "path.turn.unreachable" : `path.turn.${turn}`,
  ];
}

/**
 * The most likely cause. The most certain signs are checked first.
 *
 * @param {string[]} local
 * @param {string[]} remote
 * @param {IceReport["stun"]} stun
 * @param {IceReport["turn"]} turn
 */
function causeOf(local, remote, stun, turn) {
  if (local.length === 0) return "path.cause.blocked_here";
  if (remote.length === 0) return "path.cause.blocked_there";
  if (local.includes("relay") || remote.includes("relay")) return "path.cause.firewall";
  if (turn !== "none") return "path.cause.turn";
  if (stun === "none") return "path.cause.one_network";
  return stun === "answered" ? "path.cause.no_turn" : "path.cause.stun";
}

/**
 * @param {string[]} types of the candidates of one side
 * @returns {"none" | "local" | "public" | "relay"} how far the best of them reaches
 */
function reachOf(types) {
  if (types.includes("relay")) return "relay";
  if (types.includes("srflx") || types.includes("prflx")) return "public";
  return types.length > 0 ? "local" : "none";
}
