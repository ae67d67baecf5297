/**
 * A download of the browser as a target, fed through a service worker: the bytes are neither held in
 * memory nor stored twice. One file is sent as it is, several as a ZIP archive.
 */

import { Condition } from "../../util/condition.js";
import { crc32 } from "../../util/crc32.js";
import { startServiceWorker } from "../../util/service-worker.js";
import { TransferError } from "../errors.js";
import { centralDirectory, dataDescriptor, localFileHeader, zipSize } from "./zip.js";
import { bundleName, isSingleFile } from "./zip-bundle.js";

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../download-target.js").DownloadTarget} DownloadTarget */

/** Both are beside the page: a broker may be below a path of its host. */
const WORKER_URL = "download-worker.js";
const SCOPE = "download/";
/** Browsers terminate a service worker that receives no event for half a minute (ms). */
const PING_INTERVAL = 5_000;
/** After this many pings without an answer the worker's stream counts as dead. */
const MAX_MISSED_PINGS = 3;
/** How long a worker may take to start and to answer (ms). */
const START_TIMEOUT = 5_000;

/** @returns {Promise<boolean>} whether a worker starts and answers */
export async function canStream() {
  if (!globalThis.navigator?.serviceWorker) return false;
  try {
    const worker = await startWorker();
    return (await request(worker, { type: "ping" })).type === "pong";
  } catch {
    return false; // private windows of some browsers have no service workers
  }
}

/** @implements {DownloadTarget} */
export class StreamTarget {
  allOrNothing = true;
  #isZip;
  #port;
  #pingTimer;
  /** @type {Array<import("./zip.js").WrittenMember>} */
  #members = [];
  /** How many chunks the worker has requested and not received. It requests one when the browser has taken all. */
  #credit = 0;
  #missedPings = 0;
  #isComplete = false;
  #error = /** @type {TransferError | null} */ (null);
  #changed = new Condition();

  /**
   * @param {MessagePort} port to the worker's stream
   * @param {ServiceWorker} worker
   * @param {boolean} isZip
   */
  constructor(port, worker, isZip) {
    this.#port = port;
    this.#isZip = isZip;
    this.#pingTimer = setInterval(() => this.#ping(worker), PING_INTERVAL);
    port.onmessage = ({ data }) => this.#handle(data.type);
  }

  /**
   * Starts the browser's download. Call it only after `canStream` has returned true.
   *
   * @param {FileEntry[]} entries
   * @returns {Promise<StreamTarget>}
   */
  static async open(entries) {
    const isZip = !isSingleFile(entries);
    const name = bundleName(entries);
    const size = isZip ? zipSize(entries) : entries[0].size;
    const worker = await startWorker();
    const id = `${Date.now()}-${crypto.randomUUID()}`;
    const { port1, port2 } = new MessageChannel();
    const target = new StreamTarget(port1, worker, isZip);
    await request(worker, { type: "download", id, name, size }, [port2]);
    // The response is an attachment, so the page stays. The worker has just confirmed the id.
    location.assign(`${SCOPE}${id}`);
    return target;
  }

  /** @param {FileEntry} entry */
  async open({ path, size, isFolder }) {
    const member = { path, size, isFolder, crc: 0 };
    let isStarted = false;
    const start = async () => {
      if (isStarted || !this.#isZip) return;
      isStarted = true;
      await this.#send(localFileHeader(member));
    };
    return {
      storedBytes: 0,
      read: async () => new Uint8Array(0),
      write: async (/** @type {number} */ _at, /** @type {Uint8Array<ArrayBuffer>} */ bytes) => {
        await start();
        if (this.#isZip) member.crc = crc32(bytes, member.crc);
        await this.#send(bytes);
        return bytes;
      },
      close: async () => {
        await start();
        if (this.#isZip) await this.#send(dataDescriptor(member));
        this.#members.push(member);
      },
    };
  }

  async remove() {
    throw new TransferError("refused", "a file cannot be removed from a stream");
  }

  /** @param {FileEntry[]} entries */
  async finish(entries) {
    if (this.#isZip) await this.#send(centralDirectory(this.#members));
    await this.#until(() => this.#credit > 0);
    this.#port.postMessage({ type: "end" });
    await this.#until(() => this.#isComplete);
    clearInterval(this.#pingTimer);
    return entries.map(({ path }) => ({ name: path.join("/"), blob: null }));
  }

  async abort() {
    this.#port.postMessage({ type: "abort" });
    this.#fail(new TransferError("cancelled", "transfer was cancelled on this side"));
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  async #send(bytes) {
    await this.#until(() => this.#credit > 0);
    this.#credit -= 1;
    this.#port.postMessage({ type: "chunk", bytes });
  }

  /** @param {() => boolean} condition */
  async #until(condition) {
    while (!condition() && !this.#error) await this.#changed.wait();
    if (this.#error) throw this.#error;
  }

  /** @param {ServiceWorker} worker whose stream answers, if it still exists */
  #ping(worker) {
    this.#missedPings += 1;
    if (this.#missedPings > MAX_MISSED_PINGS) this.#fail(new TransferError("stopped", "service worker has lost the download"));
    else worker.postMessage({ type: "ping" });
  }

  /** @param {"pull" | "alive" | "taken" | "cancel" | "lost"} type */
  #handle(type) {
    this.#missedPings = 0;
    if (type === "pull") this.#credit += 1;
    if (type === "taken") this.#isComplete = true;
    if (type === "cancel") this.#fail(new TransferError("cancelled", "download was cancelled in the browser"));
    if (type === "lost") this.#fail(new TransferError("stopped", "service worker has aborted the download"));
    this.#changed.notify();
  }

  /** @param {TransferError} error */
  #fail(error) {
    this.#error ??= error;
    clearInterval(this.#pingTimer);
    this.#changed.notify();
  }
}

/** @returns {Promise<ServiceWorker>} active */
async function startWorker() {
  const worker = await startServiceWorker(WORKER_URL, SCOPE);
  if (!worker) throw new TransferError("storage", "service worker did not start");
  return worker;
}

/**
 * @param {ServiceWorker} worker
 * @param {object} message
 * @param {Transferable[]} [transfer] in addition to the port for the answer
 * @returns {Promise<any>}
 */
function request(worker, message, transfer = []) {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TransferError("storage", "service worker does not answer")), START_TIMEOUT);
    port1.onmessage = ({ data }) => {
      clearTimeout(timer);
      port1.close();
      resolve(data);
    };
    worker.postMessage(message, [port2, ...transfer]);
  });
}
