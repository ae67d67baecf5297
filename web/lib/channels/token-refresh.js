/** Replaces the token of an open connection before it expires, so that the connection stays open. */

import { Backoff } from "../util/backoff.js";
import { TimeoutError } from "../util/errors.js";
import { isTemporary } from "../util/temporary.js";
import { TokenError, refusal, tokenError } from "./errors.js";

/** After this part of a token's life it is replaced. */
const PART_OF_LIFE = 0.8;
/** The shortest and the longest delay (ms). Timers of browsers wrap around at the latter. */
const MIN_DELAY = 1_000;
const MAX_DELAY = 2 ** 31 - 1;
/** So many refusals in a row end the attempts. The server then ends the connection when the old token expires. */
const ATTEMPTS = 2;
const EVENT = "access_token";

/** @typedef {{status: string, response: any}} Reply */

/**
 * @typedef {object} RefreshHandlers
 * @property {(event: string, payload: object, onReply: (reply: Reply | null) => void) => boolean} push sends it on any
 *   joined topic; false: none is joined. The reply is null when the connection closes. Throws a TooBigError
 * @property {(error: Error) => void} onError
 */

export class TokenRefresh {
  #source;
  #clock;
  #timeout;
  #push;
  #onError;
  #backoff;
  #timer = /** @type {any} */ (undefined);
  /** Whether the token of this connection has a refresh ahead, under way, or given up. */
  #isPlanned = false;
  #refusals = 0;
  /** Changes with each connection, so that a late answer for an earlier one is dropped. */
  #connection = {};

  /**
   * @param {import("./token-source.js").TokenSource} source
   * @param {{clock: import("../util/clock.js").Clock, random?: () => number, timeout: number}} timing timeout: ms for the
   *   server's answer
   * @param {RefreshHandlers} handlers
   */
  constructor(source, { clock, random, timeout }, { push, onError }) {
    this.#source = source;
    this.#clock = clock;
    this.#timeout = timeout;
    this.#push = push;
    this.#onError = onError;
    this.#backoff = new Backoff({ base: MIN_DELAY, max: 30_000, random });
  }

  /**
   * Only the first join of a connection counts: the replies to later ones have the rest of the same token's life.
   *
   * @param {unknown} seconds the life of the token, as the server's reply has it
   */
  plan(seconds) {
    if (this.#source.fixed !== null || this.#isPlanned || typeof seconds !== "number" || !(seconds >= 0)) return;
    this.#isPlanned = true;
    this.#schedule(Math.min(MAX_DELAY, Math.max(MIN_DELAY, seconds * 1_000 * PART_OF_LIFE)));
  }

  /** The connection has ended. */
  stop() {
    this.#clock.clearTimeout(this.#timer);
    this.#connection = {};
    this.#isPlanned = false;
    this.#refusals = 0;
    this.#backoff.reset();
  }

  /** @param {number} ms */
  #schedule(ms) {
    this.#timer = this.#clock.setTimeout(() => void this.#refresh(this.#connection), ms);
  }

  /** @param {object} connection */
  async #refresh(connection) {
    try {
      const token = await this.#source.ask();
      if (connection !== this.#connection || !token) return;
      const reply = await this.#send(token);
      if (connection === this.#connection) this.#replied(reply);
    } catch (error) {
      if (connection === this.#connection) this.#failed(/** @type {Error} */ (error));
    }
  }

  /** @param {Reply | null} reply null: no topic was joined */
  #replied(reply) {
    if (reply && reply.status !== "ok") throw tokenError(reply.response?.reason) ?? refusal(EVENT, reply.response);
    this.#refusals = 0;
    this.#backoff.reset();
    this.#isPlanned = false;
    if (reply) this.plan(reply.response?.expires_in);
  }

  /** @param {Error} error */
  #failed(error) {
    const connection = this.#connection;
    this.#onError(error);
    // A listener may have disconnected.
    if (connection === this.#connection && this.#isWorthAnotherTry(error)) this.#schedule(this.#backoff.next());
  }

  /** @param {Error} error */
  #isWorthAnotherTry(error) {
    if (!(error instanceof TokenError)) return isTemporary(error);
    if (error.reason === "token_unavailable") return true;
    this.#refusals += 1;
    return this.#refusals < ATTEMPTS;
  }

  /**
   * @param {string} token
   * @returns {Promise<Reply | null>}
   */
  #send(token) {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => reject(new TimeoutError(EVENT, this.#timeout)), this.#timeout);
      const settle = (/** @type {Reply | null} */ reply) => {
        this.#clock.clearTimeout(timer);
        resolve(reply);
      };
      try {
        if (!this.#push(EVENT, { access_token: token }, settle)) settle(null);
      } catch (error) {
        this.#clock.clearTimeout(timer);
        reject(error); // it is larger than the server's messages may be
      }
    });
  }
}
