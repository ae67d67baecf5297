/**
 * Where a socket gets its token from, and whether it is worth to ask again after a refusal. token-refresh.js replaces the
 * token of an open connection.
 */

import { onAbort } from "../util/abort.js";
import { toBase64url, utf8 } from "../util/bytes.js";
import { deferred } from "../util/deferred.js";
import { AbortedError, TimeoutError } from "../util/errors.js";
import { TokenError } from "./errors.js";

/** So many refusals in a row end the socket: otherwise a page whose login is over would try for ever. */
const ATTEMPTS = 2;
/** The subprotocol of Phoenix clients that have a token, and the prefix of a second one, which contains it. */
const PHOENIX = "phoenix";
const PREFIX = "base64url.bearer.phx.";

/**
 * A token, or a function that gets one. `signal` aborts when the answer is not needed any more.
 *
 * @typedef {string | ((options: {signal: AbortSignal}) => string | Promise<string>)} TokenOption
 */

/**
 * @param {string} token
 * @returns {string[] | undefined} the subprotocols that carry it: unlike the URL, they do not stand in the logs of proxies
 */
export function subprotocols(token) {
  return token ? [PHOENIX, PREFIX + toBase64url(utf8(token))] : undefined;
}

export class TokenSource {
  #token;
  #canChange;
  #clock;
  #timeout;
  /** The question under way. */
  #call = /** @type {AbortController | null} */ (null);
  /** Of the token, in a row. */
  #refusals = 0;
  /** Whether the server has answered on this connection: a refused client receives nothing but the close frame. */
  #isAccepted = false;
  /** Whether it has answered on any connection. */
  #wasAccepted = false;

  /**
   * @param {TokenOption} token
   * @param {object} options
   * @param {boolean} options.canChange whether the next connection may have another token although `token` is no function
   * @param {import("../util/clock.js").Clock} options.clock
   * @param {number} options.timeout ms
   */
  constructor(token, { canChange, clock, timeout }) {
    this.#token = token;
    this.#canChange = canChange || typeof token === "function";
    this.#clock = clock;
    this.#timeout = timeout;
  }

  /** @returns {string | null} the token, if it is always the same; else it has to be asked for */
  get fixed() {
    return typeof this.#token === "string" ? this.#token : null;
  }

  /**
   * @returns {Promise<string | null>} empty: the application has none; null: `cancel` was called
   * @throws {TokenError}
   */
  async ask() {
    this.cancel();
    const call = new AbortController();
    this.#call = call;
    try {
      const token = await this.#withinTime(call);
      if (typeof token !== "string") throw new TypeError("the option token returned no text");
      return call.signal.aborted ? null : token;
    } catch (cause) {
      if (call.signal.aborted && !(cause instanceof TimeoutError)) return null;
      throw cause instanceof TokenError ? cause : new TokenError("token_unavailable", "the application has no token at the moment", { cause });
    }
  }

  /** The answer to `ask` is not needed any more. */
  cancel() {
    this.#call?.abort();
    this.#call = null;
  }

  /** A connection is opened. */
  begin() {
    this.#isAccepted = false;
  }

  /** The server has answered on this connection, so it accepts its token. */
  accept() {
    this.#isAccepted = true;
    this.#wasAccepted = true;
    this.#refusals = 0;
  }

  /** @returns {boolean} whether it is not worth to ask for another token: the server has refused this one, or ended its connection */
  isFinalRefusal() {
    if (!this.#isAccepted) this.#refusals += 1;
    return !this.#canChange || this.#refusals >= ATTEMPTS;
  }

  /**
   * @param {TokenError} error of `ask`
   * @returns {boolean} whether it is not worth to ask again. An application that was connected before may have lost its network
   */
  isFinalFailure(error) {
    this.#refusals += 1;
    return error.reason !== "token_unavailable" || (!this.#wasAccepted && this.#refusals >= ATTEMPTS);
  }

  /** The socket is closed, and may be opened again. */
  reset() {
    this.cancel();
    this.#refusals = 0;
    this.#wasAccepted = false;
  }

  /**
   * @param {AbortController} call
   * @returns {Promise<unknown>}
   */
  async #withinTime(call) {
    if (typeof this.#token !== "function") return this.#token;
    const { signal } = call;
    const end = deferred();
    const timer = this.#clock.setTimeout(() => {
      end.reject(new TimeoutError("the option token", this.#timeout));
      call.abort();
    }, this.#timeout);
    onAbort(signal, () => end.reject(new AbortedError("asking for a token")));
    try {
      return await Promise.race([this.#token({ signal }), end.promise]);
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }
}
