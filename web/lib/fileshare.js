/**
 * Sharing files with whoever holds the key: every connection to the peer is asked for its
 * proof and then served from one catalogue. The other end is filefetch.js's.
 *
 *     const share = new FileShare(peer, key);
 *     share.catalogue.add([{ file }]);
 *     share.on("receiver", (receiver) => receiver.on("change", () => show(receiver)));
 *     await peer.join();
 */

import { Catalogue } from "./catalogue.js";
import { Emitter } from "./emitter.js";
import { HandclaspError } from "./errors.js";
import { prove } from "./proof.js";
import { Sender } from "./sender.js";

/** @typedef {"proving" | "verified" | "refused" | "left" | import("./sender.js").TransferState} ReceptionState */

/** One visitor, over all its connections. @extends {Emitter<{change: []}>} */
export class Reception extends Emitter {
  /** @type {ReceptionState} */
  state = "proving";
  written = 0;
  total = 0;
  /** Why it left or was refused: the error's reason. */
  reason = "";
  #sender = /** @type {Sender | null} */ (null);
  /** Which connection speaks for it: the end of an older one is no news. */
  #turn = 0;

  /** @param {string} peerId */
  constructor(peerId) {
    super();
    this.peerId = peerId;
  }

  /** Ends this visitor's transfer; others go on. */
  cancel() {
    this.#sender?.stop();
  }

  /**
   * @param {import("./connection.js").Connection} connection open
   * @param {Uint8Array<ArrayBuffer>} key
   * @param {Catalogue} catalogue
   */
  async serve(connection, key, catalogue) {
    const link = await connection.opened;
    const turn = ++this.#turn;
    try {
      this.#tell("proving");
      await prove(link, { key, role: "sharer", fingerprints: connection.fingerprints() });
      this.#tell("verified");
      const sender = new Sender(link, catalogue);
      this.#sender = sender;
      sender.on("progress", ({ state, written, total }) => {
        Object.assign(this, { written, total });
        this.#tell(state);
      });
      await sender.run();
    } catch (error) {
      link.close(); // not the connection: what was said last is still on its way
      if (!(error instanceof HandclaspError)) throw error;
      if (turn !== this.#turn) return;
      this.reason = error.reason;
      // Who has everything may leave without looking like one who does not.
      if (this.state !== "done" && this.state !== "cancelled") this.#tell(error.reason === "wrong_key" ? "refused" : "left");
    }
  }

  /** @param {ReceptionState} state */
  #tell(state) {
    this.state = state;
    this.emit("change");
  }
}

/**
 * Event: `receiver` for each visitor that was not there before.
 *
 * @extends {Emitter<{receiver: [Reception]}>}
 */
export class FileShare extends Emitter {
  /** @type {Map<string, Reception>} by peer id */
  #receptions = new Map();

  /**
   * @param {import("./peer.js").Peer} peer joined now or later; its other uses are not disturbed
   * @param {Uint8Array<ArrayBuffer>} key 16 bytes that receivers have to hold as well
   */
  constructor(peer, key) {
    super();
    /** What the next visitor has to prove; those who are in stay in. */
    this.key = key;
    this.catalogue = new Catalogue();
    peer.on("connection", (connection) => void this.#serve(connection));
  }

  /** @returns {Reception[]} in the order in which they came */
  get receivers() {
    return [...this.#receptions.values()];
  }

  /** @param {import("./connection.js").Connection} connection */
  #serve(connection) {
    const known = this.#receptions.get(connection.peerId);
    const reception = known ?? new Reception(connection.peerId);
    this.#receptions.set(connection.peerId, reception);
    if (!known) this.emit("receiver", reception);
    return reception.serve(connection, this.key, this.catalogue);
  }
}
