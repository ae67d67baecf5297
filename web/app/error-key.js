/** Which text of the app belongs to an error, and what helps besides the text. */

import { HandclaspError } from "../lib/util/errors.js";

/** @typedef {keyof typeof import("./locales/en.js").default} TextKey */

/** What the browsers say when a module cannot be loaded: Chromium, Firefox and Safari. */
const LOADER_MESSAGE = /import(ed|ing).* module/i;

/** Reasons that have no text of their own, because the same helps. @type {Record<string, TextKey>} */
const SAME_HELP = {
  invalid: "bad_id",
  peer_not_found: "fail.absent",
  "join crashed": "fail.server_busy",
  "topic is full": "fail.server_busy",
  "too many channels joined": "fail.server_busy",
  "too many watches": "fail.server_busy",
  overflow: "fail.server_busy",
  blocked: "fail.no_endpoint",
  forbidden: "fail.no_endpoint",
  channel_closed: "fail.taken_over",
  aborted: "fail.failed",
  negotiation: "fail.failed",
  "event too long": "fail.protocol",
  "invalid payload": "fail.protocol",
  "invalid peer id": "fail.protocol",
  "topic too long": "fail.protocol",
  "unmatched topic": "fail.protocol",
  rejected: "fail.protocol",
  too_big: "fail.protocol",
  taken: "fail.unproven",
  "token missing": "fail.token",
  "token invalid": "fail.token",
  "token expired": "fail.token",
  "token not yet valid": "fail.token",
  "token revoked": "fail.token",
  "token key unknown": "fail.token",
  "too many sockets": "fail.server_busy",
  "not allowed": "fail.not_allowed",
};

/** Errors after which only a reload helps. @type {Set<TextKey>} */
const NEEDS_RELOAD = new Set(["fail.failed", "fail.load", "fail.no_webrtc", "fail.other", "fail.protocol", "fail.version"]);
/** Errors after which only another link helps. @type {Set<TextKey>} */
const NEEDS_LINK = new Set(["bad_id", "no_key", "download_over", "fail.ended", "fail.expired", "fail.used", "fail.wrong_key"]);

/**
 * @param {unknown} error
 * @param {Record<TextKey, string>} texts
 * @returns {TextKey} every error has one
 */
export function errorKey(error, texts) {
  if (error instanceof TypeError && LOADER_MESSAGE.test(error.message)) return "fail.load";
  if (!(error instanceof HandclaspError)) return "fail.other";
  // A channel of the server that stopped, not a download.
  if (error.name === "RefusedError" && error.reason === "stopped") return "fail.server_busy";
  const own = /** @type {TextKey} */ (`fail.${error.reason}`);
  return SAME_HELP[error.reason] ?? (own in texts ? own : "fail.other");
}

/**
 * @param {TextKey} key of an error
 * @returns {"reload" | "link" | null} null: what the text says helps
 */
export function remedyOf(key) {
  if (NEEDS_RELOAD.has(key)) return "reload";
  return NEEDS_LINK.has(key) ? "link" : null;
}

/**
 * @param {unknown} error
 * @returns {string} for the person who mends the cause; a user sees it only on request
 */
export function technicalText(error) {
  if (!(error instanceof Error)) return String(error);
  const own = `${error.name}: ${error.message}`;
  return error.cause instanceof Error ? `${own} (${error.cause.name}: ${error.cause.message})` : own;
}
