/** What goes wrong, in words with the cure, and the exit code that belongs to it. */

import { HandclaspError, PeerError, ProofError, RefusedError, TransferError } from "../util/errors.js";

/** Exit codes: 0 is done. */
export const FAILED = 1;
export const MISUSED = 2;
export const WRONG_KEY = 3;
export const INTERRUPTED = 130;

/** What ends the command, said in words for people. */
export class Complaint extends Error {
  /**
   * @param {string} message
   * @param {number} [exitCode]
   */
  constructor(message, exitCode = FAILED) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** @type {Record<string, string>} of a connection that did not come, or broke */
const PEER = {
  absent: "The sender is not there.",
  silent: "The sender does not answer. Ask for a look at their side: their device may be asleep.",
  busy: "The sender serves as many as it can at once.",
  overloaded: "The broker could not reach the sender in time.",
  unreachable: "The broker could not reach the sender's part of it.",
  lost: "The connection to the sender broke.",
  closed: "The sender closed the connection.",
  too_many_tries: "Strangers have tried too many wrong keys at the sender: it lets nobody try for a while.",
};

/** @type {Record<string, string>} of a file, or of all */
const TRANSFER = {
  hash: "a piece was altered on its way",
  changed: "it was changed on the sender's side. Ask to have it shared again",
  unreadable: "the sender cannot read it any more: it was changed, moved or deleted. Ask to have it shared again",
  removed: "the sender does not offer it any more",
  refused: "the sender gave up on it",
  stalled: "the sender fell silent",
  cancelled: "the sender ended the transfer",
};

/**
 * @param {unknown} error
 * @returns {string} one sentence or more
 */
export function sentence(error) {
  if (error instanceof Complaint) return error.message;
  if (error instanceof ProofError) {
    return "The link's key or the password is wrong: nothing was said of any file. Copy the whole link again, and check the password.";
  }
  if (error instanceof PeerError && error.reason === "no_path") {
    return `No direct way to the sender (${error.message}). A VPN or firewall may forbid it; another network, or a TURN server at the broker, helps.`;
  }
  if (error instanceof PeerError) return PEER[error.reason] ?? `No connection to the sender: ${error.message}.`;
  if (error instanceof TransferError) return transferSentence(error);
  if (error instanceof RefusedError) return `The broker refused: ${error.reason}.`;
  return error instanceof HandclaspError || error instanceof Error ? `${error.message}.` : String(error);
}

/** @param {TransferError} error */
function transferSentence({ reason, message }) {
  if (reason === "storage") return message;
  return `The transfer ended: ${TRANSFER[reason] ?? message}.`;
}

/**
 * @param {TransferError} error of one file
 * @returns {string}
 */
export function fileFault({ reason, message }) {
  return TRANSFER[reason] ?? message;
}

/**
 * @param {unknown} error
 * @returns {number}
 */
export function exitCodeOf(error) {
  if (error instanceof Complaint) return error.exitCode;
  return error instanceof ProofError ? WRONG_KEY : FAILED;
}
