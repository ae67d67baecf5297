/** A sender's answer to a request of small files, which protocol.js describes. */

import { concat } from "../util/bytes.js";
import { ProtocolError } from "../util/errors.js";
import { excerpt } from "../util/excerpt.js";
import { mapLimited } from "../util/map-limited.js";
import { TransferError } from "./errors.js";
import { MAX_BATCH_BYTES, MAX_BATCH_FILES, SMALL_FILE_BYTES } from "./protocol.js";

/** How many files are read at a time. */
const READS = 16;
const NO_BYTES = new Uint8Array(0);

/** @typedef {import("./catalogue.js").Catalogue} Catalogue */
/** @typedef {{id: string, have?: unknown}} WantedFile */

/**
 * @param {Catalogue} catalogue
 * @param {any} files as requested
 * @returns {Promise<{message: object, bytes: Uint8Array<ArrayBuffer>}>}
 * @throws {ProtocolError} the request is malformed, or exceeds the limits of a batch
 */
export async function answerBatch(catalogue, files) {
  const answers = await mapLimited(parseRequest(catalogue, files), READS, (file) => readFile(catalogue, file));
  return {
    message: { type: "batch", files: answers.map(({ answer }) => answer) },
    bytes: concat(...answers.map(({ bytes }) => bytes)),
  };
}

/**
 * @param {Catalogue} catalogue
 * @param {any} files
 * @returns {WantedFile[]}
 */
function parseRequest(catalogue, files) {
  if (!Array.isArray(files) || files.length === 0 || files.length > MAX_BATCH_FILES) {
    throw new ProtocolError(`batch is not 1 to ${MAX_BATCH_FILES} files`);
  }
  let bytes = 0;
  for (const file of files) {
    if (typeof file?.id !== "string") throw new ProtocolError("file of a batch has no id");
    const { size = 0 } = catalogue.entry(file.id) ?? {};
    if (size > SMALL_FILE_BYTES) throw new ProtocolError(`file ${excerpt(file.id)} is too large for a batch`);
    bytes += size;
  }
  if (bytes > MAX_BATCH_BYTES) throw new ProtocolError(`batch of ${bytes} bytes was requested, limit ${MAX_BATCH_BYTES}`);
  return files;
}

/**
 * @param {Catalogue} catalogue
 * @param {WantedFile} file
 * @returns {Promise<{answer: object, bytes: Uint8Array<ArrayBuffer>}>}
 */
async function readFile(catalogue, { id, have }) {
  try {
    const { bytes, sha256 } = await catalogue.readSmallFile(id);
    return have === sha256 ? { answer: { same: true }, bytes: NO_BYTES } : { answer: { sha256 }, bytes };
  } catch (error) {
    if (!(error instanceof TransferError)) throw error;
    return { answer: { failed: error.reason }, bytes: NO_BYTES };
  }
}
