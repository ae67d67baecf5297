/**
 * Every way in which the library can fail, each with its own type and a short
 * `reason` that a program can compare. Words for people are the app's business.
 */

/** The parent of all errors thrown by this library. */
export class HandclaspError extends Error {
  /** Written out, since bundlers shorten the names of classes. */
  name = "HandclaspError";

  /**
   * @param {string} reason one short word or phrase, stable between versions
   * @param {string} message lower-case, naming the value and the limit
   * @param {ErrorOptions} [options]
   */
  constructor(reason, message, options) {
    super(message, options);
    this.reason = reason;
  }
}

/** The server answered a join or a push with `error`; `response` is what it said. */
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

/** Nothing came back in time. Whether the other side acted is not known. */
export class TimeoutError extends HandclaspError {
  name = "TimeoutError";

  /**
   * @param {string} what
   * @param {number} ms the limit that passed
   */
  constructor(what, ms) {
    super("timeout", `no answer to ${what} within ${ms} ms`);
  }
}

/** The caller gave up, by its `AbortSignal`. Whether the other side acted is not known. */
export class AbortedError extends HandclaspError {
  name = "AbortedError";

  /** @param {string} what */
  constructor(what) {
    super("aborted", `${what} was given up`);
  }
}

/** The connection broke while an answer was awaited, or the socket was told to disconnect. */
export class DisconnectedError extends HandclaspError {
  name = "DisconnectedError";

  /** @param {string} message */
  constructor(message) {
    super("disconnected", message);
  }
}

/** The channel is closed: never joined, left, or ended by the server. */
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

/** Bytes from the other side do not follow the protocol. */
export class ProtocolError extends HandclaspError {
  name = "ProtocolError";

  /** @param {string} message */
  constructor(message) {
    super("protocol", message);
  }
}

/**
 * No connection to a peer. `reason` is one of: `absent` (nobody has that id),
 * `overloaded`, `unreachable`, `silent` (the peer got the request and made no
 * offer), `no_path` (no route between the two networks), `lost` (it was open and broke),
 * `closed` (one side closed it), `too_many_tries` (a sharer was tried with too many wrong keys;
 * later it may work), `aborted` (the caller gave up), or the broker's own word.
 */
export class PeerError extends HandclaspError {
  name = "PeerError";

  /**
   * @param {string} reason
   * @param {string} message
   * @param {ErrorOptions & {path?: import("../rtc/ice-report.js").PathReport}} [options]
   */
  constructor(reason, message, options) {
    super(reason, message, options);
    /** With `no_path`: what ICE found on the way. */
    this.path = options?.path ?? null;
  }
}

/** The other side did not prove that it holds the key of the link. `reason` is `wrong_key`. */
export class ProofError extends HandclaspError {
  name = "ProofError";

  /** @param {string} message */
  constructor(message) {
    super("wrong_key", message);
  }
}

/**
 * A file did not arrive whole. `reason` is one of: `hash` (bytes differ from what was
 * announced), `changed` (the sender's file is not what it was), `unreadable` (the sender cannot
 * read it any more), `removed` (it is not on offer any more), `storage` (the receiver cannot
 * write; what it has is kept), `place` (nor into what the person picked), `busy_disk` (another
 * tab writes it), `too_large`, `too_many` (files), `stalled`, `stopped` (the browser broke its
 * own download off), `cancelled` (by either side), `refused` (the other side gave up and said so).
 */
export class TransferError extends HandclaspError {
  name = "TransferError";
}
