/**
 * The sharing end of one file's way over a proven link: it says what the file is and
 * then only answers. The receiver asks for every piece, so it sets the pace, and a
 * sender holds one piece in memory for each receiver.
 *
 * The talk, all JSON but the bytes (`>` sender, `<` receiver):
 *
 *     > {type: "file", id, name, size}
 *     < {type: "pull", id, piece, written}        written: bytes safely stored so far
 *     > {type: "piece", id, piece, length, sha256}, then `length` bytes
 *     < {type: "written", id, sha256}             everything is stored; hash of the whole
 *     > {type: "agreed", id, sha256}
 *     either: {type: "failed", id, reason}
 */

import { toHex } from "./bytes.js";
import { Emitter } from "./emitter.js";
import { ProtocolError, TransferError } from "./errors.js";
import { MESSAGE_BYTES, PIECE_BYTES, pieceCount, pieceHash, pieceLength } from "./piece.js";

/** @typedef {Pick<File, "name" | "size" | "slice">} Source a File, or what reads like one */

/**
 * Event: `progress (written, size)`, bytes that the receiver has stored.
 *
 * @extends {Emitter<{progress: [number, number]}>}
 */
export class Sender extends Emitter {
  #link;
  #file;
  #digest;
  #id = "1";

  /**
   * @param {import("./link.js").Link} link on which `prove` has succeeded
   * @param {Source} file
   * @param {() => Promise<string>} digest the whole file's SHA-256 in hexadecimal; may take
   *   its time, and is asked once everything was sent
   */
  constructor(link, file, digest) {
    super();
    this.#link = link;
    this.#file = file;
    this.#digest = digest;
  }

  /**
   * Announces the file and serves the receiver.
   *
   * @returns {Promise<string>} the SHA-256 both sides agreed on, when the receiver has
   *   stored the last byte
   * @throws {TransferError | import("./errors.js").PeerError | ProtocolError}
   */
  async run() {
    const { name, size } = this.#file;
    this.#link.send({ type: "file", id: this.#id, name, size });
    try {
      return await this.#serve();
    } catch (error) {
      if (error instanceof TransferError && error.reason !== "refused") this.#tell(error.reason);
      throw error;
    }
  }

  async #serve() {
    for (;;) {
      const message = await this.#link.expect(["pull", "written", "failed"]);
      if (message.id !== this.#id) throw new ProtocolError(`no file has the id ${message.id}`);
      if (message.type === "pull") await this.#pulled(message);
      else if (message.type === "written") return this.#agree(message.sha256);
      else throw new TransferError("refused", `receiver gave up: ${message.reason}`);
    }
  }

  /** @param {import("./link.js").Control} message */
  async #pulled({ piece, written }) {
    const { size } = this.#file;
    const pieces = pieceCount(size);
    if (!Number.isInteger(piece) || piece < 0 || piece >= pieces) {
      throw new ProtocolError(`piece ${piece} was asked for, the file has ${pieces}`);
    }
    if (!Number.isInteger(written) || written < 0 || written > size) {
      throw new ProtocolError(`receiver says ${written} of ${size} bytes are written`);
    }
    this.emit("progress", written, size);
    const bytes = await this.#read(piece);
    const sha256 = toHex(new Uint8Array(await pieceHash(bytes)));
    this.#link.send({ type: "piece", id: this.#id, piece, length: bytes.length, sha256 });
    for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) {
      await this.#link.sendBytes(bytes.subarray(at, at + MESSAGE_BYTES));
    }
  }

  /** @param {number} piece */
  async #read(piece) {
    const { name, size } = this.#file;
    const start = piece * PIECE_BYTES;
    const length = pieceLength(size, piece);
    try {
      const bytes = new Uint8Array(await this.#file.slice(start, start + length).arrayBuffer());
      if (bytes.length === length) return bytes;
    } catch (cause) {
      throw new TransferError("unreadable", `${name} cannot be read at byte ${start}`, { cause });
    }
    throw new TransferError("unreadable", `${name} is shorter than its ${size} bytes now`);
  }

  /** @param {any} theirs */
  async #agree(theirs) {
    const sha256 = await this.#ownDigest();
    if (theirs !== sha256) {
      throw new TransferError("hash", `receiver's sha-256 ${theirs} is not the file's ${sha256}`);
    }
    this.emit("progress", this.#file.size, this.#file.size);
    this.#link.send({ type: "agreed", id: this.#id, sha256 });
    return sha256;
  }

  async #ownDigest() {
    try {
      return await this.#digest();
    } catch (cause) {
      throw new TransferError("unreadable", `${this.#file.name} cannot be read for its hash`, { cause });
    }
  }

  /** @param {string} reason */
  #tell(reason) {
    try {
      this.#link.send({ type: "failed", id: this.#id, reason });
    } catch {
      // The link is gone too; the receiver learns it from that.
    }
  }
}
