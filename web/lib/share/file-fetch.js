/**
 * The receiving side of a share: it calls the sharer, proves the key, shows what is on
 * offer, and keeps downloads going over lost connections, absent senders and reloads.
 *
 *     const fetch = new FileFetch(peer, sharerId, key);
 *     fetch.on("list", (entries) => show(entries));
 *     fetch.start();
 *     const download = new Download(entries, await openTarget(entries, sharerId));
 *     fetch.take(download);
 *     const { files } = await download.finished;
 */

import { Backoff } from "../util/backoff.js";
import { systemClock } from "../util/clock.js";
import { Emitter } from "../util/emitter.js";
import { HandclaspError, PeerError, ProofError, ProtocolError, TransferError } from "../util/errors.js";
import { prove } from "./key-proof.js";
import { Receiver } from "./receiver.js";

/** @typedef {import("./catalogue.js").Entry} Entry */
/** @typedef {import("./download.js").Download} Download */
/** @typedef {"idle" | "calling" | "proving" | "verified" | "waiting" | "ended"} FetchState
 *   waiting: for the sender or for the next try, by itself; ended: for good, with the error */

/**
 * Events: `state` with the error that led to it, `list` with what is on offer.
 *
 * @extends {Emitter<{state: [FetchState, Error | null], list: [Entry[]]}>}
 */
export class FileFetch extends Emitter {
  #peer;
  #sharerId;
  #key;
  #clock;
  #backoff;
  /** @type {FetchState} */
  #state = "idle";
  #receiver = /** @type {Receiver | null} */ (null);
  #link = /** @type {import("../rtc/message-channel.js").Link | null} */ (null);
  /** @type {Set<Download>} that are not over */
  #downloads = new Set();
  #wake = () => {};

  /**
   * @param {import("../rtc/peer.js").Peer} peer joined
   * @param {string} sharerId
   * @param {Uint8Array<ArrayBuffer>} key
   * @param {object} [options]
   * @param {import("../util/clock.js").Clock} [options.clock]
   * @param {() => number} [options.random]
   */
  constructor(peer, sharerId, key, { clock = systemClock, random } = {}) {
    super();
    this.#peer = peer;
    this.#sharerId = sharerId;
    this.#key = key;
    this.#clock = clock;
    this.#backoff = new Backoff({ base: 1_000, max: 30_000, random });
    peer.on("up", (id) => id === sharerId && this.#wake());
  }

  /** @returns {FetchState} */
  get state() {
    return this.#state;
  }

  /** @returns {Entry[]} what is on offer */
  get entries() {
    return this.#receiver?.entries ?? [];
  }

  /** Calls the sharer, and again whenever the connection breaks, until `stop` or a refusal. */
  async start() {
    while (this.#state !== "ended") {
      const error = await this.#visit();
      if (this.state === "ended") return;
      if (isFinal(error)) return this.#end(error);
      this.#tell("waiting", error);
      await this.#pause(error);
    }
  }

  /** Tries again at once instead of when it is time. */
  retry() {
    this.#wake();
  }

  /**
   * Keeps a download going, over every link from now on, until it is over.
   *
   * @param {Download} download of entries of the list
   */
  take(download) {
    if (this.#state === "ended") return download.cancel();
    this.#downloads.add(download);
    const forget = () => void this.#downloads.delete(download);
    download.finished.then(forget, forget);
    if (this.#receiver && !this.#receiver.ended) void download.serve(this.#receiver);
  }

  /**
   * @param {Entry} entry of an image in the list
   * @returns {Promise<Blob | null>} a small picture for an `img`; null where there is none
   */
  async preview(entry) {
    return this.#receiver?.preview(entry) ?? null;
  }

  /** Ends everything on this side, once the sharer has heard what was said last, or is gone. */
  async leave() {
    await this.#link?.probe();
    this.stop();
  }

  /** Ends everything on this side. */
  stop() {
    this.#end(new PeerError("closed", "fetch was stopped"));
  }

  /** @returns {Promise<Error>} why it is over */
  async #visit() {
    try {
      this.#tell("calling", null);
      const online = await this.#peer.watch(this.#sharerId);
      if (!online) throw new PeerError("absent", "sharer is offline");
      const connection = await this.#peer.connect(this.#sharerId);
      this.#tell("proving", null);
      const link = await connection.opened;
      this.#link = link;
      try {
        await prove(link, { key: this.#key, role: "receiver", fingerprints: connection.fingerprints() });
        return await this.#follow(new Receiver(link, { clock: this.#clock }));
      } finally {
        link.close();
        connection.close();
      }
    } catch (error) {
      return /** @type {Error} */ (error);
    }
  }

  /**
   * @param {Receiver} receiver
   * @returns {Promise<Error>} when its link ends
   */
  async #follow(receiver) {
    receiver.on("list", (entries) => {
      if (this.#state === "proving") {
        this.#backoff.reset();
        this.#tell("verified", null);
      }
      this.emit("list", entries);
    });
    this.#receiver = receiver;
    const ended = receiver.run().catch((error) => error);
    for (const download of [...this.#downloads]) void download.serve(receiver);
    const error = await ended;
    this.#receiver = null;
    return error;
  }

  /**
   * Until the sharer is there again where that is what is missing, else for a while.
   *
   * @param {Error} error
   * @returns {Promise<void>}
   */
  #pause(error) {
    const isAbsent = error instanceof PeerError && error.reason === "absent";
    return new Promise((resolve) => {
      // Even an absent one is looked for now and then: the news may have been lost.
      const timer = this.#clock.setTimeout(() => this.#wake(), isAbsent ? 30_000 : this.#backoff.next());
      this.#wake = () => {
        this.#clock.clearTimeout(timer);
        resolve();
      };
    });
  }

  /** @param {Error} error */
  #end(error) {
    if (this.#state === "ended") return;
    this.#tell("ended", error);
    for (const download of this.#downloads) download.cancel();
    this.#wake();
    this.#peer.close();
  }

  /**
   * @param {FetchState} state
   * @param {Error | null} error
   */
  #tell(state, error) {
    if (this.#state === "ended") return;
    this.#state = state;
    this.emit("state", state, error);
  }
}

/** @param {Error} error */
function isFinal(error) {
  if (!(error instanceof HandclaspError)) return true;
  if (error instanceof TransferError) return error.reason !== "stalled";
  return error instanceof ProofError || error instanceof ProtocolError;
}
