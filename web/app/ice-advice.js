/** Why two browsers found no way to each other, as words for people: the cause with its cure, then what was found. */

/** @typedef {import("../lib/rtc/ice-report.js").PathReport} PathReport */

/**
 * @param {PathReport} report
 * @returns {import("./i18n.js").Word[]} whole sentences, to be told in this order
 */
export function pathWords({ local, remote, stun, turn }) {
  return [
    "fail.no_path",
    cause(local, remote, stun, turn),
    `path.here.${reach(local)}`,
    `path.there.${reach(remote)}`,
    // A STUN server has nobody to refuse: whatever is not an answer is silence.
    stun === "none" || stun === "answered" ? `path.stun.${stun}` : "path.stun.unreachable",
    turn === "unknown" ? "path.turn.unreachable" : `path.turn.${turn}`,
  ];
}

/**
 * The likely one, from the surest sign to the vaguest.
 *
 * @param {string[]} local
 * @param {string[]} remote
 * @param {PathReport["stun"]} stun
 * @param {PathReport["turn"]} turn
 */
function cause(local, remote, stun, turn) {
  if (local.length === 0) return "path.cause.blocked_here";
  if (remote.length === 0) return "path.cause.blocked_there";
  if (local.includes("relay") || remote.includes("relay")) return "path.cause.firewall";
  if (turn !== "none") return "path.cause.turn";
  if (stun === "none") return "path.cause.one_network";
  return stun === "answered" ? "path.cause.no_turn" : "path.cause.stun";
}

/**
 * @param {string[]} kinds of candidates that one side had
 * @returns {"none" | "local" | "public" | "relay"} how far the best of them reaches
 */
function reach(kinds) {
  if (kinds.includes("relay")) return "relay";
  if (kinds.includes("srflx") || kinds.includes("prflx")) return "public";
  return kinds.length > 0 ? "local" : "none";
}
