/** The sharing view: one file, its link, and who takes it. */

import {
  HandclaspError,
  KEY_BYTES,
  Peer,
  Sender,
  Socket,
  TimeoutError,
  createIdentity,
  digestInWorker,
  prove,
} from "../lib/index.js";
import { makeLink } from "./address.js";
import { announce, element, say } from "./page.js";
import { Row } from "./row.js";
import { failureText, sizeText } from "./words.js";

const READY = "Ready. The link works as long as this page is open.";
const AWAY = "The server cannot be reached just now. The link works again as soon as it can; downloads under way go on.";

/** Shows the view; a share begins when a file is chosen or dropped. */
export function openShare() {
  element("share", HTMLElement).hidden = false;
  const input = element("file", HTMLInputElement);
  /** @type {Share | null} */
  let share = null;
  /** @param {File | undefined} file */
  const begin = (file) => {
    if (!file || share) return;
    share = new Share(file);
    share.start().catch((error) => say(element("share-state", HTMLElement), failureText(error)));
  };
  input.addEventListener("change", () => begin(input.files?.[0]));
  acceptDrops(begin);
  element("stop", HTMLElement).addEventListener("click", () => {
    share?.stop();
    location.reload();
  });
  addEventListener("pagehide", () => share?.stop());
}

/** @param {(file: File | undefined) => void} begin */
function acceptDrops(begin) {
  const { classList } = document.body;
  addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser would open the file in place of the page
    classList.add("dragging");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? classList.remove("dragging"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    classList.remove("dragging");
    begin(event.dataTransfer?.files[0]);
  });
}

/** One file on offer, from the choice to the end of the page. */
class Share {
  #file;
  #key = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  #socket = new Socket("/socket");
  #peer = /** @type {Peer | null} */ (null);
  #digest;
  #count = 0;

  /** @param {File} file */
  constructor(file) {
    this.#file = file;
    this.#digest = digestInWorker(file);
  }

  async start() {
    this.#showFile();
    const peer = new Peer(this.#socket, await createIdentity());
    this.#peer = peer;
    peer.on("connection", (connection) => void this.#serve(connection));
    peer.on("state", (state) => {
      say(element("share-state", HTMLElement), state === "joined" ? READY : AWAY);
    });
    this.#showLink(makeLink({ peerId: peer.id, key: this.#key }));
    await joinPatiently(peer);
  }

  stop() {
    this.#peer?.close();
    this.#socket.disconnect();
  }

  #showFile() {
    const { name, size } = this.#file;
    element("pick", HTMLElement).hidden = true;
    element("sharing", HTMLElement).hidden = false;
    element("share-name", HTMLElement).textContent = name;
    element("share-size", HTMLElement).textContent = sizeText(size);
    const place = element("share-hash", HTMLElement);
    this.#digest.then(
      (sha256) => (place.textContent = sha256),
      () => (place.textContent = "the file cannot be read: choose it again"),
    );
  }

  /** @param {string} link */
  #showLink(link) {
    const field = element("link", HTMLInputElement);
    const copy = element("copy", HTMLButtonElement);
    field.value = link;
    field.addEventListener("focus", () => field.select());
    copy.disabled = false;
    copy.focus();
    copy.addEventListener("click", async () => {
      const copied = await copyText(field);
      copy.textContent = copied ? "Copied" : "Press Ctrl+C";
      announce(copied ? "Link copied" : "The link is selected; copy it with the keyboard");
    });
  }

  /** @param {import("../lib/index.js").Connection} connection open, not proven */
  async #serve(connection) {
    this.#count += 1;
    element("nobody", HTMLElement).hidden = true;
    const row = new Row(`Receiver ${this.#count}`);
    element("receivers", HTMLElement).append(row.element);
    const link = await connection.opened;
    try {
      await prove(link, { key: this.#key, role: "sharer", fingerprints: connection.fingerprints() });
      row.verified();
      const sender = new Sender(link, this.#file, () => this.#digest);
      sender.on("progress", (written, size) => row.progress(written, size));
      await sender.run();
      row.done();
    } catch (error) {
      link.close(); // not the connection: what was said last is still on its way
      row.failed(error instanceof HandclaspError ? error.reason : "");
      if (!(error instanceof HandclaspError)) throw error;
    }
  }
}

/**
 * A server that is down now may be up in a minute, and the link is already shown.
 *
 * @param {Peer} peer
 */
async function joinPatiently(peer) {
  for (;;) {
    try {
      await peer.join();
      return;
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
    }
  }
}

/** @param {HTMLInputElement} field */
async function copyText(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    return false; // no permission: the selection is there for the keyboard
  }
}
