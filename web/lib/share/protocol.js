/**
 * The file transfer protocol on one authenticated message channel. The sender only answers, in request
 * order. The receiver requests every piece and so controls the pace.
 *
 * All messages are JSON except the bytes (`>` from the sender, `<` from the receiver):
 *
 *     > {type: "list", entries: [{id, path, size, type, isFolder?, text?}], last, device?}    in several messages;
 *                                                again when it changes; isFolder: true for an empty folder, else an empty
 *                                                file; text: true for a text to be shown, else a text file;
 *                                                device: the sender's, see device.js, or null
 *     < {type: "device", device}                 the receiver's, once, after a list with `device`, which lists of older
 *                                                senders do not have: they would not accept the message
 *     < {type: "pull", id, piece, have?}         have: hash of the piece that the receiver has stored
 *     > {type: "piece", id, piece, length, sha256}, then `length` bytes; piece-hash.js computes the hash
 *       or {type: "same", id, piece}             the stored piece is correct
 *     < {type: "stored", id, root}               all pieces are written; root: hash of their hashes
 *     > {type: "agreed", id}                     the sender has the same hash
 *     > {type: "failed", id, reason}             instead of any answer; the other files go on
 *     < {type: "batch", files: [{id, have?}]}    small files, complete; have: hash of the stored file
 *     > {type: "batch", files: [{sha256} or {same: true} or {failed: reason}]}, in the order of the
 *       request, then the bytes of the files with a sha256, one file after the other. Such a file is one
 *       piece: the two sides have agreed on its hash, and it needs no "stored"
 *     < {type: "progress", state, written, total, failed}   bytes written so far, and how many files have failed
 *     < {type: "preview", id}                    of an image; at most 50 per channel
 *     > {type: "preview", id, image}             a small JPEG in base64url, or null; sent when it is
 *                                                ready, so that no piece waits for it
 *     > {type: "end", reason, cause?}            the sender ends the transfer of this receiver ("cancelled"), or
 *                                                the whole share ("ended"); cause, which older receivers ignore:
 *                                                "busy" (cancelled), "used" or "expired" (ended). It may be the
 *                                                first message
 */

/** @typedef {"downloading" | "paused" | "cancelled" | "failed" | "done"} TransferState */
/** @typedef {{state: TransferState, written: number, total: number, failed: number}} ProgressReport sent by the receiver */

/** @typedef {"cancelled" | "ended" | "busy" | import("./share-limits.js").CloseCause} EndReason */

/** What the message "end" says. @type {Record<EndReason, {reason: "cancelled" | "ended", cause?: EndReason}>} */
export const END_MESSAGES = {
  cancelled: { reason: "cancelled" },
  ended: { reason: "ended" },
  busy: { reason: "cancelled", cause: "busy" },
  used: { reason: "ended", cause: "used" },
  expired: { reason: "ended", cause: "expired" },
};

/** @type {TransferState[]} */
export const TRANSFER_STATES = ["downloading", "paused", "cancelled", "failed", "done"];
/** The reasons that a sender may give for a failed file. */
export const FILE_FAILURES = ["unreadable", "changed", "removed"];
/** Files of one share. */
export const MAX_FILES = 10_000;
/** Bytes of a list: of the paths, types and ids of all files together, in UTF-8. */
export const MAX_LIST_BYTES = 4 * 1024 * 1024;
/** Bytes of a text that is to be shown, in UTF-8. A longer one is a file. */
export const MAX_TEXT_BYTES = 256 * 1024;
/** Texts of a list that are to be shown. Further ones are files. */
export const MAX_TEXTS = 20;
/** Names in the path of a file. Of a longer path, both sides keep the last ones. */
export const MAX_DEPTH = 32;
/** Characters of the id of a file. */
export const MAX_ID_CHARS = 64;
/** Files of at most this many bytes travel in batches. */
export const SMALL_FILE_BYTES = 64 * 1024;
/** Files of a batch. */
export const MAX_BATCH_FILES = 256;
/** Bytes of a batch: no more than a piece, so that neither side holds more of it in memory. */
export const MAX_BATCH_BYTES = 1024 * 1024;
/** Previews that a receiver may request over one channel. */
export const MAX_PREVIEWS = 50;
/** The bytes of a piece are sent in messages of this size, which every browser accepts. */
export const MESSAGE_BYTES = 64 * 1024;
/** A receiver accepts smaller messages only at the end of a piece, so that a piece is few messages. */
export const MIN_MESSAGE_BYTES = 16 * 1024;
