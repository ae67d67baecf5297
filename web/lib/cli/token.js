/** The token with which the command connects. It is never printed: neither it nor a part of it is in any message. */

import { open } from "node:fs/promises";
import { CliError, USAGE_ERROR } from "./messages.js";

/** A longer file is no token (bytes). Brokers accept 4 KiB. */
const MAX_BYTES = 16_384;

/** @typedef {(options: {signal: AbortSignal}) => Promise<string>} ReadToken */

/**
 * @param {string | undefined} file read again at each connection, so that another program can renew it
 * @param {string | undefined} text if there is no file
 * @returns {Promise<ReadToken | string>} for the option `token` of a Socket; empty: none
 * @throws {CliError} the file cannot be read now, or holds no token
 */
export async function openToken(file, text = "") {
  if (file === undefined) return text.trim();
  try {
    await readToken(file);
  } catch (error) {
    throw new CliError(`The token cannot be read: ${/** @type {Error} */ (error).message}.`, USAGE_ERROR);
  }
  return () => readToken(file);
}

/**
 * @param {string} file
 * @returns {Promise<string>}
 */
async function readToken(file) {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_BYTES + 1));
    if (bytesRead > MAX_BYTES) throw new Error(`${file} is longer than a token can be`);
    const token = buffer.toString("utf8", 0, bytesRead).trim();
    if (token === "") throw new Error(`${file} is empty`);
    return token;
  } finally {
    await handle.close();
  }
}
