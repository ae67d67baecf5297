/** Errors of sockets and channels. */

import { HandclaspError } from "../util/errors.js";

/** The server answered a join or a push with `error`; `response` is its payload. */
export class RefusedError extends HandclaspError {
  name = "RefusedError";

  /**
   * @param {string} what for example `join of peer:1234`
   * @param {any} response the server's payload, usually `{reason}`
   */
  constructor(what, response) {
    const reason = typeof response?.reason === "string" ? response.reason : "refused";
    super(reason, `${what} was refused: ${reason}`);
    this.response = response;
  }
}

/** The client's token does not permit the join or the push. Its `reason` is `not allowed`. */
export class PermissionError extends RefusedError {
  name = "PermissionError";
}

/**
 * @param {string} what for example `join of peer:1234`
 * @param {any} response the server's payload
 * @returns {RefusedError}
 */
export function refusal(what, response) {
  return response?.reason === "not allowed" ? new PermissionError(what, response) : new RefusedError(what, response);
}

/** Reasons for which a server refuses a token. */
const TOKEN_REASONS = ["token missing", "token invalid", "token expired", "token not yet valid", "token revoked", "token key unknown", "too many sockets"];

/**
 * The client has no token that the server accepts. `reason` is the server's: `token missing`, `token invalid`, `token
 * expired`, `token not yet valid`, `token revoked`, `token key unknown`, or `too many sockets`, if the subject of the token
 * has as many as it may have: the socket then tries again. It is `token_unavailable` if the option
 * `token` of the socket threw, did not answer in time, or returned something other than a text; `cause` is then its error. The token itself
 * is in no message.
 */
export class TokenError extends HandclaspError {
  name = "TokenError";

  /**
   * @param {string} reason
   * @param {string} [message]
   * @param {ErrorOptions} [options]
   */
  constructor(reason, message = `server refuses the connection: ${reason}`, options) {
    super(reason, message, options);
  }
}

/**
 * @param {unknown} text for example the reason with which a connection was closed
 * @returns {TokenError | null} null: it is not the reason of a refused token
 */
export function tokenError(text) {
  return typeof text === "string" && TOKEN_REASONS.includes(text) ? new TokenError(text) : null;
}

/** The connection closed before the answer arrived, or `disconnect()` was called. */
export class DisconnectedError extends HandclaspError {
  name = "DisconnectedError";

  /** @param {string} message */
  constructor(message) {
    super("disconnected", message);
  }
}

/**
 * There is no Channels server at the socket's URL. `reason` is `no_endpoint` (a web server is there, with something
 * else at this path), `forbidden` (it refuses this client), or `blocked` (the platform does not allow the URL).
 */
export class EndpointError extends HandclaspError {
  name = "EndpointError";
}

/** A message is larger than the server accepts. It was not sent, or the server closed the connection because of it. */
export class TooBigError extends HandclaspError {
  name = "TooBigError";

  /**
   * @param {number} bytes
   * @param {number} limit
   */
  constructor(bytes, limit) {
    super("too_big", `message has ${bytes} bytes, the server's limit is ${limit}`);
  }
}

/**
 * The server closed the connection because of what this side had sent, or disconnected the client for good, so the socket does not
 * reconnect.
 */
export class RejectedError extends HandclaspError {
  name = "RejectedError";

  /** @param {{code: number, reason: string}} close */
  constructor({ code, reason }) {
    super("rejected", `server closed the connection with code ${code}: ${reason || "no reason"}`);
    this.code = code;
  }
}

/** The channel is closed: it was never joined, it was left, or the server closed it. */
export class ClosedError extends HandclaspError {
  name = "ClosedError";

  /** @param {string} message */
  constructor(message) {
    super("channel_closed", message);
  }
}

/** A bounded buffer is full. */
export class OverflowError extends HandclaspError {
  name = "OverflowError";

  /** @param {string} message */
  constructor(message) {
    super("overflow", message);
  }
}
