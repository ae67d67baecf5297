/** The receiving view: connect, see what it is, download, be sure. */

import { Meter, Peer, PeerError, ProofError, Receiver, Socket, createIdentity, openSink, prove } from "../lib/index.js";
import { announce, element, say } from "./page.js";
import { failureText, leftText, percent, sizeText } from "./words.js";

const BACK = "The sender is back. Connect again.";

const connectButton = () => element("connect", HTMLButtonElement);
const downloadButton = () => element("download", HTMLButtonElement);

/**
 * Shows the view. Nothing is asked of any network before Connect is pressed.
 *
 * @param {import("./address.js").Invitation} invitation
 */
export function openReceive(invitation) {
  document.title = "Handclasp: receive a file";
  element("receive", HTMLElement).hidden = false;
  const visit = new Visit(invitation);
  connectButton().addEventListener("click", () => void visit.connect());
  downloadButton().addEventListener("click", () => void visit.download());
  addEventListener("pagehide", () => visit.end());
}

/** One visitor's dealings with one sender. */
class Visit {
  #invitation;
  #socket = new Socket("/socket");
  #peer = /** @type {Peer | null} */ (null);
  #link = /** @type {import("../lib/index.js").Link | null} */ (null);
  #receiver = /** @type {Receiver | null} */ (null);
  #file = { name: "", size: 0 };
  /** Whether a failure of the connection is already being told by the step it broke. */
  #busy = false;

  /** @param {import("./address.js").Invitation} invitation */
  constructor(invitation) {
    this.#invitation = invitation;
  }

  connect() {
    connectButton().disabled = true;
    return this.#step(async () => {
      tell("Reaching the server…");
      const peer = await this.#join();
      tell("Calling the sender…");
      if (!(await peer.watch(this.#invitation.peerId))) throw new PeerError("absent", "sender is offline");
      const connection = await peer.connect(this.#invitation.peerId);
      connection.on("close", (reason) => this.#ended(reason));
      tell("Checking the key on both sides…");
      await this.#verify(connection);
      this.#showFile();
      tell("");
    });
  }

  download() {
    downloadButton().hidden = true;
    return this.#step(async () => {
      const { name, size } = this.#file;
      const receiver = this.#receiver;
      if (!receiver) return;
      const sink = await openSink(size);
      const meter = new Meter(size);
      showProgress(0, size, meter);
      receiver.on("progress", (written) => showProgress(written, size, meter));
      const { sha256, file } = await receiver.download(sink);
      this.#receiver = null;
      showDone(name, file, sha256);
    });
  }

  end() {
    this.#peer?.close();
    this.#socket.disconnect();
  }

  async #join() {
    if (this.#peer) return this.#peer;
    const peer = new Peer(this.#socket, await createIdentity());
    peer.on("up", (id) => this.#senderIsBack(id));
    await peer.join();
    this.#peer = peer;
    return peer;
  }

  /** @param {import("../lib/index.js").Connection} connection */
  async #verify(connection) {
    const link = await connection.opened;
    this.#link = link;
    const { key } = this.#invitation;
    await prove(link, { key, role: "receiver", fingerprints: connection.fingerprints() });
    const receiver = new Receiver(link);
    this.#file = await receiver.announcement();
    this.#receiver = receiver;
  }

  #showFile() {
    const { name, size } = this.#file;
    element("received", HTMLElement).hidden = false;
    element("receive-lead", HTMLElement).hidden = true;
    element("receive-name", HTMLElement).textContent = name;
    element("receive-size", HTMLElement).textContent = sizeText(size);
    connectButton().hidden = true;
    downloadButton().hidden = false;
    downloadButton().focus();
    announce(`Verified. The file is ${name}, ${sizeText(size)}`);
  }

  /** @param {string} id */
  #senderIsBack(id) {
    if (id !== this.#invitation.peerId || this.#busy || this.#receiver || connectButton().hidden) return;
    say(element("receive-error", HTMLElement), "");
    tell(BACK);
  }

  /** @param {PeerError} reason */
  #ended(reason) {
    // Before the step under way tells it, or after the file is safe, there is nothing to say.
    if (this.#busy || !this.#receiver) return;
    this.#failed(reason);
  }

  /** @param {() => Promise<void>} work */
  async #step(work) {
    this.#busy = true;
    say(element("receive-error", HTMLElement), "");
    try {
      await work();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#busy = false;
    }
  }

  /** @param {unknown} error */
  #failed(error) {
    this.#receiver = null;
    this.#link?.close();
    this.#link = null;
    tell("");
    element("received", HTMLElement).hidden = true;
    element("receive-progress", HTMLElement).hidden = true;
    downloadButton().hidden = true;
    say(element("receive-error", HTMLElement), failureText(error));
    connectButton().disabled = false;
    connectButton().textContent = "Try again";
    // The same link would be refused again and again.
    connectButton().hidden = error instanceof ProofError;
  }
}

/** @param {string} sentence */
function tell(sentence) {
  say(element("receive-state", HTMLElement), sentence);
}

/**
 * @param {number} written
 * @param {number} size
 * @param {Meter} meter
 */
function showProgress(written, size, meter) {
  const { speed, left } = meter.update(written);
  const figures = [
    `${percent(written, size)} %`,
    `${sizeText(written)} of ${sizeText(size)}`,
    `${sizeText(Math.round(speed))}/s`,
    written < size ? leftText(left) : "comparing hashes",
  ];
  element("receive-progress", HTMLElement).hidden = false;
  element("receive-bar", HTMLProgressElement).value = size === 0 ? 1 : written / size;
  element("receive-figures", HTMLElement).textContent = figures.join(" · ");
}

/**
 * @param {string} name
 * @param {Blob} file
 * @param {string} sha256
 */
function showDone(name, file, sha256) {
  const save = element("save", HTMLAnchorElement);
  save.href = URL.createObjectURL(file);
  save.download = name;
  save.hidden = false;
  element("receive-progress", HTMLElement).hidden = true;
  element("receive-hash-row", HTMLElement).hidden = false;
  element("receive-hash", HTMLElement).textContent = sha256;
  tell(`Done: all ${sizeText(file.size)} arrived, and both sides agree on the hash.`);
  save.click();
}
