/**
 * The receiving end of one file's way over a proven link. It asks for pieces, checks
 * each against its hash, and asks for more only as they are written. Where the bytes
 * are stored is the sink's business; the talk itself is written down in sender.js.
 */

import { toHex } from "./bytes.js";
import { Emitter } from "./emitter.js";
import { ProtocolError, TimeoutError, TransferError } from "./errors.js";
import { safeName } from "./filename.js";
import { WINDOW_PIECES, pieceCount, pieceHash, pieceLength } from "./piece.js";
import { Sha256 } from "./sha256.js";

/** @typedef {{name: string, size: number}} Announcement the name is already made harmless */

/** The sender may still be hashing a large file when the last piece was written (ms). */
const VERDICT_TIMEOUT = 120_000;

/**
 * Event: `progress (written, size)`, bytes stored.
 *
 * @extends {Emitter<{progress: [number, number]}>}
 */
export class Receiver extends Emitter {
  #link;
  #stallTimeout;
  #id = "";
  #size = 0;

  /**
   * @param {import("./link.js").Link} link on which `prove` has succeeded
   * @param {object} [options]
   * @param {number} [options.stallTimeout] ms without a message while pieces are due (default 30 000)
   */
  constructor(link, { stallTimeout = 30_000 } = {}) {
    super();
    this.#link = link;
    this.#stallTimeout = stallTimeout;
  }

  /**
   * @returns {Promise<Announcement>} what the sender has to offer
   * @throws {ProtocolError | TimeoutError | import("./errors.js").PeerError}
   */
  async announcement() {
    const { id, name, size } = await this.#link.expect(["file"], { timeout: this.#stallTimeout });
    if (!Number.isSafeInteger(size) || size < 0) throw new ProtocolError(`file size ${size} is no count of bytes`);
    this.#id = String(id);
    this.#size = size;
    return { name: safeName(name), size };
  }

  /**
   * Fetches the announced file into the sink and closes it. On any error the sink is aborted.
   *
   * @param {import("./sink.js").Sink} sink
   * @returns {Promise<{sha256: string, file: Blob}>} when every byte is stored and both sides
   *   agree on the hash
   * @throws {TransferError | ProtocolError | import("./errors.js").PeerError}
   */
  async download(sink) {
    try {
      const sha256 = await this.#fetch(sink);
      const file = await stored(sink.close());
      await this.#confirm(sha256);
      return { sha256, file };
    } catch (error) {
      const reason = error instanceof TransferError ? error.reason : "protocol";
      if (reason !== "refused") this.#tell(reason);
      await sink.abort().catch(() => {}); // the first error is the one worth telling
      throw error;
    }
  }

  /** @param {import("./sink.js").Sink} sink */
  async #fetch(sink) {
    const whole = new Sha256();
    const pieces = pieceCount(this.#size);
    let written = 0;
    for (let piece = 0; piece < Math.min(WINDOW_PIECES, pieces); piece++) this.#pull(piece, 0);
    for (let piece = 0; piece < pieces; piece++) {
      const bytes = await this.#piece(piece);
      await stored(sink.write(bytes));
      whole.update(bytes);
      written += bytes.length;
      if (piece + WINDOW_PIECES < pieces) this.#pull(piece + WINDOW_PIECES, written);
      this.emit("progress", written, this.#size);
    }
    return whole.digest();
  }

  /**
   * @param {number} piece
   * @param {number} written
   */
  #pull(piece, written) {
    this.#link.send({ type: "pull", id: this.#id, piece, written });
  }

  /** @param {number} piece the one that is due */
  async #piece(piece) {
    const header = await this.#control(["piece"], this.#stallTimeout);
    const length = pieceLength(this.#size, piece);
    if (header.piece !== piece || header.length !== length) {
      const got = `piece ${header.piece} of ${header.length} bytes`;
      throw new ProtocolError(`got ${got}, expected piece ${piece} of ${length}`);
    }
    const bytes = await this.#bytes(length);
    const sha256 = toHex(new Uint8Array(await pieceHash(bytes)));
    if (sha256 !== header.sha256) throw new TransferError("hash", `piece ${piece} differs from its sha-256`);
    return bytes;
  }

  /** @param {number} length */
  async #bytes(length) {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const message = await this.#due(() => this.#link.next({ timeout: this.#stallTimeout }));
      if (!(message instanceof ArrayBuffer)) throw failure(message);
      if (message.byteLength === 0 || message.byteLength > length - at) {
        throw new ProtocolError(`got ${message.byteLength} bytes where ${length - at} were due`);
      }
      bytes.set(new Uint8Array(message), at);
      at += message.byteLength;
    }
    return bytes;
  }

  /** @param {string} sha256 */
  async #confirm(sha256) {
    this.#link.send({ type: "written", id: this.#id, sha256 });
    const verdict = await this.#control(["agreed"], VERDICT_TIMEOUT);
    if (verdict.sha256 !== sha256) throw new TransferError("hash", "sender agreed to another sha-256");
  }

  /**
   * @param {string[]} types
   * @param {number} timeout
   */
  async #control(types, timeout) {
    const message = await this.#due(() => this.#link.expect([...types, "failed"], { timeout }));
    if (message.type === "failed") throw failure(message);
    return message;
  }

  /**
   * @template T
   * @param {() => Promise<T>} read
   */
  async #due(read) {
    try {
      return await read();
    } catch (error) {
      if (error instanceof TimeoutError) throw new TransferError("stalled", error.message, { cause: error });
      throw error;
    }
  }

  /** @param {string} reason */
  #tell(reason) {
    try {
      this.#link.send({ type: "failed", id: this.#id, reason });
    } catch {
      // The link is gone too; the sender learns it from that.
    }
  }
}

/** @param {import("./link.js").Control} message */
function failure({ type, reason }) {
  if (type !== "failed") return new ProtocolError(`got message ${type} amid a piece`);
  // Only these two are the sender's to say; anything else it sends is noise.
  const known = reason === "unreadable" || reason === "hash" ? reason : "refused";
  return new TransferError(known, `sender gave up: ${known}`);
}

/**
 * @template T
 * @param {Promise<T>} work of the sink
 */
async function stored(work) {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof TransferError) throw cause;
    throw new TransferError("storage", "file cannot be written on this device", { cause });
  }
}
