/** The error of connections between peers, and other errors turned into it. */

import { HandclaspError } from "../util/errors.js";

/**
 * No connection to a peer. `reason` is one of: `absent` (no client has that id), `overloaded`,
 * `unreachable`, `busy` (the peer has its maximum of connections), `silent` (the peer received the
 * request and made no offer), `no_path` (ICE found no route between the two networks), `lost` (the
 * connection was open and broke), `closed` (one side closed it), `too_many_tries` (too many wrong passwords
 * were tried at the sharer; a later attempt may work), `aborted` (the caller aborted), `invalid` (not a
 * peer id), `too_big` (a description is larger than the server's messages may be), `negotiation` (one side cannot make or use
 * a description), `channel_closed` (the peer's channel at the broker is closed), or the
 * broker's own reason.
 */
export class PeerError extends HandclaspError {
  name = "PeerError";

  /**
   * @param {string} reason
   * @param {string} message
   * @param {ErrorOptions & {iceReport?: import("./ice-report.js").IceReport}} [options]
   */
  constructor(reason, message, options) {
    super(reason, message, options);
    /** With `no_path`: what ICE gathered on both sides. */
    this.iceReport = options?.iceReport ?? null;
  }
}

/**
 * @param {Error} error that ended a call or a connection
 * @param {string} fallback the reason if the error is not of this library
 * @returns {PeerError}
 */
export function toPeerError(error, fallback) {
  const reason = error instanceof HandclaspError ? error.reason : fallback;
  return new PeerError(reason === "peer_not_found" ? "absent" : reason, error.message, { cause: error });
}
