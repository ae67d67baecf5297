/**
 * The base class of the library's errors, and those that every part throws. Each error has a `reason`
 * to compare; its `message` is for logs. Each part has an `errors.js` of its own for the rest.
 */

/** The parent of every error that is thrown by this library. */
export class HandclaspError extends Error {
  /** Written out, because bundlers shorten class names. */
  name = "HandclaspError";

  /**
   * @param {string} reason a short word or phrase, stable between versions
   * @param {string} message in lower case, with the value and the limit
   * @param {ErrorOptions} [options]
   */
  constructor(reason, message, options) {
    super(message, options);
    this.reason = reason;
  }
}

/** No answer arrived in time. The other side may have acted nevertheless. */
export class TimeoutError extends HandclaspError {
  name = "TimeoutError";

  /**
   * @param {string} what
   * @param {number} ms the timeout
   */
  constructor(what, ms) {
    super("timeout", `no answer to ${what} within ${ms} ms`);
  }
}

/** The caller's `AbortSignal` was aborted. The other side may have acted nevertheless. */
export class AbortedError extends HandclaspError {
  name = "AbortedError";

  /** @param {string} what */
  constructor(what) {
    super("aborted", `${what} was aborted`);
  }
}

/** The other side sent bytes that violate the protocol. */
export class ProtocolError extends HandclaspError {
  name = "ProtocolError";

  /** @param {string} message */
  constructor(message) {
    super("protocol", message);
  }
}
