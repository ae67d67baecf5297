/**
 * The receiving side of a share: it calls the sharer, proves the key, lists the files, and continues
 * downloads after lost connections, absences of the sharer and reloads.
 *
 *     const fetch = new FileFetch(peer, sharerId, key);
 *     fetch.on("list", (entries) => show(entries));
 *     fetch.start();
 *     const download = new Download(entries, await openTarget(entries, sharerId));
 *     fetch.add(download);
 *     const { files } = await download.finished;
 */

import { PeerError } from "../rtc/errors.js";
import { Backoff } from "../util/backoff.js";
import { systemClock } from "../util/clock.js";
import { Emitter } from "../util/emitter.js";
import { isTemporary } from "../util/temporary.js";
import { thisDevice } from "./device.js";
import { prove } from "./key-proof.js";
import { Receiver } from "./receiver.js";

/** An absent sharer is called this often even without an `up` event, which may be lost (ms). */
const ABSENT_RETRY_INTERVAL = 30_000;

/** @typedef {import("./file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./download.js").Download} Download */
/** @typedef {"idle" | "calling" | "proving" | "listing" | "verified" | "waiting" | "ended"} FetchState
 *   listing: both have proved the key, and the list is awaited; waiting: for the sharer or for the next attempt; ended: finally, with the error */

/**
 * Events: `state` with the error that caused it; `list` with the files of the share.
 *
 * @extends {Emitter<{state: [FetchState, Error | null], list: [FileEntry[]]}>}
 */
export class FileFetch extends Emitter {
  #peer;
  #sharerId;
  #key;
  #passwordKey;
  #device;
  #clock;
  #backoff;
  /** @type {FetchState} */
  #state = "idle";
  #receiver = /** @type {Receiver | null} */ (null);
  #channel = /** @type {import("../rtc/message-channel.js").RtcMessageChannel | null} */ (null);
  /** @type {Set<Download>} that are not over */
  #downloads = new Set();
  #wake = () => {};

  /**
   * @param {import("../rtc/peer.js").Peer} peer joined
   * @param {string} sharerId
   * @param {Uint8Array<ArrayBuffer>} key
   * @param {object} [options]
   * @param {Uint8Array<ArrayBuffer> | null} [options.passwordKey] from `derivePasswordKey`, if there is a password
   * @param {import("./device.js").Device | null} [options.device] what the sharer is told about this side, once both have
   *   proved the key (default: the browser; null: nothing)
   * @param {import("../util/clock.js").Clock} [options.clock]
   * @param {() => number} [options.random]
   */
  constructor(peer, sharerId, key, { passwordKey = null, device = thisDevice(), clock = systemClock, random } = {}) {
    super();
    this.#peer = peer;
    this.#sharerId = sharerId;
    this.#key = key;
    this.#passwordKey = passwordKey;
    this.#device = device;
    this.#clock = clock;
    this.#backoff = new Backoff({ base: 1_000, max: 30_000, random });
    peer.on("up", (id) => id === sharerId && this.#wake());
  }

  /** @returns {FetchState} */
  get state() {
    return this.#state;
  }

  /** @returns {FileEntry[]} the files of the share */
  get entries() {
    return this.#receiver?.entries ?? [];
  }

  /** @returns {import("./device.js").Device | null} what the sharer says that it is, while it is connected */
  get sharer() {
    return this.#receiver?.sender ?? null;
  }

  /** Calls the sharer, and again whenever the connection breaks, until `stop` or a final error. */
  async start() {
    while (this.#state !== "ended") {
      const error = await this.#connect();
      if (this.state === "ended") return;
      if (!isTemporary(error)) return this.#end(error);
      this.#setState("waiting", error);
      await this.#waitForRetry(error);
    }
  }

  /** Retries now instead of after the delay. */
  retry() {
    this.#wake();
  }

  /**
   * Runs a download over this and all later connections until it is over.
   *
   * @param {Download} download of entries of the list
   */
  add(download) {
    if (this.#state === "ended") return download.cancel();
    this.#downloads.add(download);
    const remove = () => void this.#downloads.delete(download);
    download.finished.then(remove, remove);
    if (this.#receiver && !this.#receiver.endReason) void download.transferFrom(this.#receiver);
  }

  /**
   * @param {FileEntry} entry of an image in the list
   * @returns {Promise<Blob | null>} a small JPEG; null if there is none
   */
  async preview(entry) {
    return this.#receiver?.preview(entry) ?? null;
  }

  /** Stops once the sharer has received the last messages, or is gone. */
  async stopGracefully() {
    await this.#channel?.probe();
    this.stop();
  }

  /** Stops now, cancels the downloads and closes the peer. */
  stop() {
    for (const download of this.#downloads) download.cancel();
    this.#end(new PeerError("closed", "fetch was stopped"));
  }

  /** @returns {Promise<Error>} why the connection is over */
  async #connect() {
    try {
      this.#setState("calling", null);
      const online = await this.#peer.watch(this.#sharerId);
      if (!online) throw new PeerError("absent", "sharer is offline");
      const connection = await this.#peer.connect(this.#sharerId);
      this.#setState("proving", null);
      const channel = await connection.opened;
      this.#channel = channel;
      try {
        const [key, passwordKey, fingerprints] = [this.#key, this.#passwordKey, connection.fingerprints()];
        await prove(channel, { key, passwordKey, role: "receiver", fingerprints });
        return await this.#receive(new Receiver(channel, { device: this.#device, clock: this.#clock }));
      } finally {
        channel.close();
        connection.close();
      }
    } catch (error) {
      return /** @type {Error} */ (error);
    }
  }

  /**
   * @param {Receiver} receiver
   * @returns {Promise<Error>} why its channel has ended
   */
  async #receive(receiver) {
    this.#setState("listing", null);
    receiver.on("list", (entries) => {
      if (this.#state === "listing") {
        this.#backoff.reset();
        this.#setState("verified", null);
      }
      this.emit("list", entries);
    });
    this.#receiver = receiver;
    const ended = receiver.run().catch((error) => error);
    for (const download of [...this.#downloads]) void download.transferFrom(receiver);
    const error = await ended;
    this.#receiver = null;
    return error;
  }

  /**
   * Waits until the sharer is online again if it was absent, otherwise for the next delay.
   *
   * @param {Error} error
   * @returns {Promise<void>}
   */
  #waitForRetry(error) {
    const isAbsent = error instanceof PeerError && error.reason === "absent";
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => this.#wake(), isAbsent ? ABSENT_RETRY_INTERVAL : this.#backoff.next());
      this.#wake = () => {
        this.#clock.clearTimeout(timer);
        resolve();
      };
    });
  }

  /** @param {Error} error */
  #end(error) {
    if (this.#state === "ended") return;
    this.#setState("ended", error);
    for (const download of this.#downloads) download.fail(error);
    this.#wake();
    this.#peer.close();
  }

  /**
   * @param {FetchState} state
   * @param {Error | null} error
   */
  #setState(state, error) {
    if (this.#state === "ended") return;
    this.#state = state;
    this.emit("state", state, error);
  }
}
