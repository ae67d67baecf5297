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

/** The server closed the connection because of what this side had sent, so the socket does not reconnect. */
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
