/** What went wrong, in a sentence for a developer. */

import { HandclaspError } from "../lib/index.js";

/** @type {Record<string, string>} by the reason of an error of the library */
const SENTENCES = {
  absent: "The other peer is not online.",
  aborted: "It was stopped.",
  blocked: "The browser does not allow a connection to this address.",
  channel_closed: "The topic is not joined any more.",
  disconnected: "The connection was lost before the broker replied.",
  closed: "The connection between the two peers was closed.",
  failed: "This browser could not make the connection. Its console says more.",
  forbidden: "The broker refuses connections from this page. Its keys server.public_urls and socket.check_origin say which are allowed.",
  lost: "The connection between the two peers broke.",
  no_endpoint: "There is no Phoenix endpoint at this address. A proxy may not pass on WebSockets, or another path.",
  no_path: "The two peers found no path to each other. The check of ICE below says what is missing.",
  overloaded: "The broker is overloaded. Try again in a moment.",
  overflow: "Too many messages wait to be sent.",
  timeout: "The broker did not reply in time.",
  too_big: "The message is larger than this broker accepts.",
};

/**
 * @param {unknown} error
 * @returns {string}
 */
export function sentenceOf(error) {
  if (error instanceof TypeError) return "The address or the message is not valid.";
  if (!(error instanceof HandclaspError)) return "This browser could not do it. Its console says more.";
  return SENTENCES[error.reason] ?? `The broker refused it with the reason “${error.reason}”.`;
}
