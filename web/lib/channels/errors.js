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

/** The channel is closed: it was never joined, it was left, or the server closed it. */
export class ClosedError extends HandclaspError {
  name = "ClosedError";

  /** @param {string} message */
  constructor(message) {
    super("closed", message);
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
