/**
 * The browser's own download as a target, fed through a service worker: nothing is held
 * in memory and nothing is stored twice. One file as it is, several as a zip.
 */

import { Changes } from "../../util/condition.js";
import { crc32 } from "../../util/crc32.js";
import { TransferError } from "../../util/errors.js";
import { directory, fileHeader, fileTrailer, zipLength } from "./zip.js";

/** @typedef {import("../catalogue.js").Entry} Entry */
/** @typedef {import("./target.js").Target} Target */

const WORKER = "/download-worker.js";
const SCOPE = "/download/";
/** Browsers end a worker that hears nothing for half a minute (ms). */
const PING = 5_000;
/** So many pings without a word of the worker's stream, and it is dead. */
const UNHEARD = 3;
/** How long a worker may take to start and to answer (ms). */
const START = 5_000;

/** @returns {Promise<boolean>} whether a worker is there and answers: tried, not guessed */
export async function canStream() {
  if (!globalThis.navigator?.serviceWorker) return false;
  try {
    const worker = await startWorker();
    return (await ask(worker, { type: "ping" })).type === "pong";
  } catch {
    return false; // private windows of some browsers refuse it
  }
}

/** @implements {Target} */
export class StreamTarget {
  whole = true;
  #zipped;
  #port;
  #timer;
  /** @type {Array<import("./zip.js").Written>} */
  #members = [];
  /** How many chunks the worker has asked for and not got. It asks when the browser has taken all. */
  #credit = 0;
  #unheard = 0;
  #isTaken = false;
  #error = /** @type {TransferError | null} */ (null);
  #changes = new Changes();

  /**
   * @param {MessagePort} port to the worker's stream
   * @param {ServiceWorker} worker
   * @param {boolean} zipped
   */
  constructor(port, worker, zipped) {
    this.#port = port;
    this.#zipped = zipped;
    this.#timer = setInterval(() => this.#ping(worker), PING);
    port.onmessage = ({ data }) => this.#hear(data.type);
  }

  /**
   * Starts the browser's download; `canStream` has to have said yes.
   *
   * @param {Entry[]} entries
   * @param {string} name
   * @returns {Promise<StreamTarget>}
   */
  static async open(entries, name) {
    const zipped = entries.length > 1 || entries[0].path.length > 1;
    const size = zipped ? zipLength(entries) : entries[0].size;
    const worker = await startWorker();
    const id = crypto.randomUUID();
    const { port1, port2 } = new MessageChannel();
    const target = new StreamTarget(port1, worker, zipped);
    await ask(worker, { type: "download", id, name, size }, [port2]);
    // The answer is an attachment, so this page stays; the worker has just said that it has the id.
    location.assign(`${SCOPE}${id}`);
    return target;
  }

  /** @param {Entry} entry */
  async open({ path, size }) {
    const member = { path, size, crc: 0 };
    let begun = false;
    const begin = async () => {
      if (begun || !this.#zipped) return;
      begun = true;
      await this.#send(fileHeader(member));
    };
    return {
      stored: 0,
      read: async () => new Uint8Array(0),
      write: async (/** @type {number} */ _at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
        await begin();
        if (this.#zipped) member.crc = crc32(bytes, member.crc);
        await this.#send(bytes);
        return bytes;
      },
      close: async () => {
        await begin();
        if (this.#zipped) await this.#send(fileTrailer(member));
        this.#members.push(member);
      },
    };
  }

  async drop() {
    throw new TransferError("refused", "a file cannot be left out of a stream");
  }

  /** @param {Entry[]} entries */
  async finish(entries) {
    if (this.#zipped) await this.#send(directory(this.#members));
    await this.#until(() => this.#credit > 0);
    this.#port.postMessage({ type: "end" });
    await this.#until(() => this.#isTaken);
    clearInterval(this.#timer);
    return entries.map(({ path }) => ({ name: path.join("/"), blob: null }));
  }

  async abort() {
    this.#port.postMessage({ type: "abort" });
    this.#end(new TransferError("cancelled", "transfer was cancelled on this side"));
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  async #send(bytes) {
    await this.#until(() => this.#credit > 0);
    this.#credit -= 1;
    this.#port.postMessage({ type: "chunk", bytes });
  }

  /** @param {() => boolean} condition */
  async #until(condition) {
    while (!condition() && !this.#error) await this.#changes.next();
    if (this.#error) throw this.#error;
  }

  /** @param {ServiceWorker} worker whose stream answers, if it still has it */
  #ping(worker) {
    this.#unheard += 1;
    if (this.#unheard > UNHEARD) this.#end(new TransferError("stopped", "service worker has lost the download"));
    else worker.postMessage({ type: "ping" });
  }

  /** @param {"pull" | "alive" | "taken" | "cancel" | "lost"} type */
  #hear(type) {
    this.#unheard = 0;
    if (type === "pull") this.#credit += 1;
    if (type === "taken") this.#isTaken = true;
    if (type === "cancel") this.#end(new TransferError("cancelled", "download was ended in the browser"));
    if (type === "lost") this.#end(new TransferError("stopped", "service worker gave the download up"));
    this.#changes.wake();
  }

  /** @param {TransferError} error */
  #end(error) {
    this.#error ??= error;
    clearInterval(this.#timer);
    this.#changes.wake();
  }
}

/** @returns {Promise<ServiceWorker>} active */
async function startWorker() {
  const registration = await navigator.serviceWorker.register(WORKER, { scope: SCOPE });
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (!worker) throw new TransferError("storage", "service worker did not start");
  while (worker.state !== "activated") {
    if (worker.state === "redundant") throw new TransferError("storage", "service worker did not start");
    await new Promise((resolve) => worker.addEventListener("statechange", resolve, { once: true }));
  }
  return worker;
}

/**
 * @param {ServiceWorker} worker
 * @param {object} message
 * @param {Transferable[]} [transfer] beside the port for the answer
 * @returns {Promise<any>}
 */
function ask(worker, message, transfer = []) {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TransferError("storage", "service worker does not answer")), START);
    port1.onmessage = ({ data }) => {
      clearTimeout(timer);
      port1.close();
      resolve(data);
    };
    worker.postMessage(message, [port2, ...transfer]);
  });
}
