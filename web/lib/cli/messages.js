/** Error messages for users of the command, and its exit codes. */

import { EndpointError, PermissionError, RefusedError, TokenError } from "../channels/errors.js";
import { PeerError } from "../rtc/errors.js";
import { ProofError, TransferError } from "../share/errors.js";

/** Exit codes; 0 is success. */
export const FAILED = 1;
export const USAGE_ERROR = 2;
const WRONG_KEY = 3;
/** Nothing at the broker's address can become reachable by waiting. */
export const WRONG_ADDRESS = 4;
/** The broker accepts no token of this user, or the token does not permit what the command wants. */
export const TOKEN_REFUSED = 5;
export const INTERRUPTED = 130;
/** As a shell shows a program that wrote to a closed pipe. */
export const PIPE_CLOSED = 141;

/** Ends the command with a message for the user. */
export class CliError extends Error {
  /**
   * @param {string} message
   * @param {number} [exitCode]
   */
  constructor(message, exitCode = FAILED) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** @type {Record<string, string>} by the reason of a PeerError */
const CONNECTION_MESSAGES = {
  absent: "The sender is not online.",
  silent: "The sender does not answer. Ask them to check their device: it may be asleep.",
  busy: "The sender is serving its maximum number of receivers.",
  overloaded: "The broker could not reach the sender in time.",
  unreachable: "The broker could not reach the node that the sender is connected to.",
  lost: "The connection to the sender was lost.",
  closed: "The sender closed the connection.",
  too_many_tries: "The sender has received too many wrong passwords, and accepts no new receivers for a while.",
};

/** @type {Record<string, string>} by the reason of a TokenError */
const TOKEN_MESSAGES = {
  "token missing": "This broker needs a token: use --token-file, or the environment variables HANDCLASP_TOKEN and HANDCLASP_BROKER.",
  "token expired": "The broker refuses the token: it has expired. Get a new one.",
  "too many sockets": "The broker refuses the connection: this token has as many as it may have. End another one.",
  "token not yet valid": "The broker refuses the token: it is not valid yet. Check the clock of this computer.",
};

/** @type {Record<string, string>} by the reason of a ProofError */
const PROOF_MESSAGES = {
  wrong_key: "The link's key is wrong, so the sender showed no file. Copy the whole link again.",
  wrong_password: "The password is wrong, so the sender showed no file. Check it, and copy the link again: only a link that ends in &p=1 has a password.",
  version: "The sender runs another version of handclasp. Both sides need the same one.",
};

/** @type {Record<string, string>} by the reason of a TransferError */
const TRANSFER_MESSAGES = {
  hash: "a piece was altered on the way",
  changed: "it has changed on the sender's side. Ask them to share it again",
  unreadable: "the sender cannot read it any more: it was changed, moved or deleted. Ask them to share it again",
  removed: "the sender no longer shares it",
  refused: "the sender gave up on it",
  too_many: "these are more than 10,000 files. Pack them into an archive first",
  list_too_large: "the names of the files are longer than 4 MiB together. Pack the files into an archive first",
  stalled: "the sender stopped sending",
  cancelled: "the sender ended the transfer",
  ended: "the sender has stopped sharing",
  used: "the link was for one download, and has been used",
  expired: "the link has expired",
};

/**
 * @param {unknown} error
 * @returns {string} one or more sentences
 */
export function errorMessage(error) {
  if (error instanceof CliError) return error.message;
  if (error instanceof ProofError) return PROOF_MESSAGES[error.reason];
  const refusal = refusalOf(error);
  if (refusal instanceof PermissionError) return "The token does not permit this: get one with other grants.";
  if (refusal?.reason === "token_unavailable") return `The token cannot be read: ${/** @type {Error} */ (refusal.cause).message}.`;
  if (refusal) return TOKEN_MESSAGES[refusal.reason] ?? `The broker refuses the token: ${refusal.reason}.`;
  if (error instanceof PeerError && error.reason === "no_path") {
    return `No direct path to the sender (${error.message}). A VPN or firewall may block it. Try another network, or configure a TURN server at the broker.`;
  }
  if (error instanceof PeerError) return CONNECTION_MESSAGES[error.reason] ?? `Cannot connect to the sender: ${error.message}.`;
  if (error instanceof TransferError) return transferMessage(error);
  if (error instanceof RefusedError) return `The broker refused: ${error.reason}.`;
  return error instanceof Error ? `${error.message}.` : String(error);
}

/**
 * @param {unknown} error
 * @returns {TokenError | PermissionError | null} it, or what it was caused by, if that is about the token
 */
function refusalOf(error) {
  const cause = error instanceof PeerError ? error.cause : error;
  return cause instanceof TokenError || cause instanceof PermissionError ? cause : null;
}

/** @param {TransferError} error */
function transferMessage({ reason, message }) {
  if (reason === "storage") return message;
  return `The transfer ended: ${TRANSFER_MESSAGES[reason] ?? message}.`;
}

/**
 * @param {TransferError} error of one file
 * @returns {string}
 */
export function fileErrorMessage({ reason, message }) {
  return TRANSFER_MESSAGES[reason] ?? message;
}

/**
 * @param {unknown} error
 * @returns {number}
 */
export function exitCodeOf(error) {
  if (error instanceof CliError) return error.exitCode;
  if (refusalOf(error)) return TOKEN_REFUSED;
  if (error instanceof EndpointError) return WRONG_ADDRESS;
  return error instanceof ProofError && error.reason !== "version" ? WRONG_KEY : FAILED;
}
