/** Which failures may be over at the next attempt. Everything in the library that retries decides by these tables. */

import { HandclaspError } from "./errors.js";

/** Reasons of errors. All others are final: the same request would fail again. */
const TEMPORARY_REASONS = new Set([
  // the server is busy, restarting or full
  "rate_limited", "overloaded", "unreachable", "topic is full", "join crashed", "stopped", "too many sockets",
  // the connection to the server
  "timeout", "disconnected", "overflow", "token_unavailable",
  // the connection to a peer
  "absent", "busy", "silent", "no_path", "lost", "closed", "aborted", "too_many_tries",
  // a transfer
  "stalled",
]);

/** Codes with which a WebSocket is closed because of what this side has sent: it would send the same again. */
const PERMANENT_CODES = new Set([1002, 1003, 1007, 1010]);
/**
 * What a broker says with codes that others use for any cause: it disconnects the client for good, or cannot decode a
 * message.
 */
const PERMANENT_REASONS = new Map([[1000, "disconnected by the server"], [1011, "malformed message"]]);

/**
 * @param {unknown} error
 * @returns {boolean} whether the same request may succeed later
 */
export function isTemporary(error) {
  return error instanceof HandclaspError && TEMPORARY_REASONS.has(error.reason);
}

/**
 * @param {{code: number, reason: string}} close of a WebSocket
 * @returns {boolean} whether the next connection would be closed for the same cause
 */
export function isPermanentClose({ code, reason }) {
  return PERMANENT_CODES.has(code) || PERMANENT_REASONS.get(code) === reason;
}
