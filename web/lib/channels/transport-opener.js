/**
 * Opens the transports of one socket, with its params in the URL and its token beside it, and finds out why one does not
 * open. socket.js decides when to try.
 */

import { endpointUrl, findFault, parseEndpoint } from "./endpoint.js";
import { EndpointError, TokenError } from "./errors.js";
import { isTemporary } from "../util/temporary.js";
import { TokenSource, subprotocols } from "./token-source.js";

/** @typedef {import("./socket-options.js").SocketOptions} SocketOptions */

/**
 * @typedef {object} OpenHandlers what becomes of an attempt; none is called after `cancel`
 * @property {(transport: WebSocket) => void} onTransport it is connecting
 * @property {(error: Error, isFinal: boolean) => void} onFailure there is no transport; final: another attempt would fail
 *   for the same cause
 */

export class TransportOpener {
  #url;
  #params;
  #Transport;
  #fetch;
  /** The search under way for what is wrong. */
  #search = /** @type {AbortController | null} */ (null);
  /** Of the last attempt; empty if there was no transport. */
  #webSocketUrl = "";
  #sentToken = "";
  /** Changes with each attempt, so that a late answer to an earlier one is dropped. */
  #attempt = {};

  /**
   * @param {string} url
   * @param {SocketOptions} options
   * @param {{clock: import("../util/clock.js").Clock, timeout: number}} timing
   * @throws {TypeError} the URL is invalid, or the platform has no WebSocket
   */
  constructor(url, { params = {}, token = "", transport = globalThis.WebSocket, fetch }, timing) {
    this.#url = parseEndpoint(url);
    this.#params = params;
    this.#Transport = transport;
    if (!transport) throw new TypeError("this platform has no WebSocket: give one as transport");
    this.#fetch = fetch === undefined ? globalThis.fetch?.bind(globalThis) : fetch;
    this.token = new TokenSource(token, { ...timing, canChange: typeof params === "function" });
    /** Whether `findFault` was called after an attempt since the last `reset`. */
    this.hasSearched = false;
  }

  /** @returns {boolean} whether the application has a token, or may have one */
  get mayHaveToken() {
    return this.token.fixed !== "";
  }

  /** @param {OpenHandlers} handlers */
  open(handlers) {
    const attempt = this.#begin();
    this.token.begin();
    const { fixed } = this.token;
    if (fixed !== null) return this.#openWith(fixed, handlers);
    this.token.ask().then(
      (token) => attempt === this.#attempt && this.#openWith(token ?? "", handlers),
      (error) => attempt === this.#attempt && handlers.onFailure(error, this.token.isFinalFailure(error)),
    );
  }

  /** The attempt under way is over, or its result is not needed any more. */
  cancel() {
    this.#attempt = {};
    this.token.cancel();
  }

  /**
   * Asks why the transport of the last attempt did not open.
   *
   * @param {boolean} isUnseen whether the URL may be wrong; else only the token may be
   * @returns {Promise<Error | null>} null: nothing is wrong, it cannot be told, or another attempt may succeed. A temporary
   *   error is one that the application should know of
   */
  async findFault(isUnseen) {
    if (!this.#webSocketUrl) return null;
    this.hasSearched = true;
    if (!this.#fetch || this.#search) return null;
    const search = new AbortController();
    this.#search = search;
    const fault = await findFault(this.#webSocketUrl, this.#sentToken, this.#fetch, search.signal);
    if (search.signal.aborted) return null;
    this.#search = null;
    // The next attempt has other params, which the server may accept.
    if (fault?.reason === "forbidden" && typeof this.#params === "function") return null;
    if (!(fault instanceof TokenError)) return isUnseen ? fault : null;
    // The server reads the keys at a URL again, which takes up to half a minute.
    if (fault.reason === "token key unknown") return null;
    if (isTemporary(fault)) return fault;
    return this.token.isFinalRefusal() ? fault : null;
  }

  stopSearch() {
    this.#search?.abort();
    this.#search = null;
  }

  /** The socket is closed, and may be opened again. */
  reset() {
    this.cancel();
    this.stopSearch();
    this.token.reset();
    this.hasSearched = false;
  }

  #begin() {
    this.cancel();
    this.#webSocketUrl = "";
    this.#sentToken = "";
    return this.#attempt;
  }

  /**
   * @param {string} token
   * @param {OpenHandlers} handlers
   */
  #openWith(token, { onTransport, onFailure }) {
    let transport;
    try {
      this.#webSocketUrl = endpointUrl(this.#url, typeof this.#params === "function" ? this.#params() : this.#params);
      this.#sentToken = token;
      transport = token ? new this.#Transport(this.#webSocketUrl, subprotocols(token)) : new this.#Transport(this.#webSocketUrl);
    } catch (error) {
      const { name, message } = /** @type {Error} */ (error);
      const isBlocked = name === "SecurityError" || name === "SyntaxError";
      return onFailure(isBlocked ? new EndpointError("blocked", message) : /** @type {Error} */ (error), isBlocked);
    }
    onTransport(transport);
  }
}
