/** `handclasp send`: shares files and folders by a link until it is stopped, and reports each receiver's progress. */

import { commandDevice } from "../share/device.js";
import { textFile } from "../share/file-entry.js";
import { FileShare } from "../share/file-share.js";
import { derivePasswordKey } from "../share/password-key.js";
import { KEY_BYTES, makeLink, pageOf } from "../share/share-link.js";
import { randomBytes } from "../util/bytes.js";
import { openPeer } from "./broker-peer.js";
import { findFiles } from "./local-files.js";
import { CliError, FAILED, INTERRUPTED, TOKEN_REFUSED, USAGE_ERROR, errorMessage, exitCodeOf } from "./messages.js";
import { firstDone, reportReceivers, summary } from "./receiver-report.js";
import { readInput, readText } from "./standard-input.js";
import { clearProgress, formatCount, formatDuration, formatFiles, printQrCode, printResult, printStatus } from "./terminal.js";

/**
 * @param {string[]} paths files and folders; `-` is standard input
 * @param {object} options
 * @param {string} options.broker URL of its page
 * @param {string} [options.name] of the file that standard input becomes
 * @param {string} [options.text] to be shown at the receiver; `-` is standard input
 * @param {string} [options.password]
 * @param {import("./token.js").ReadToken | string} options.token empty: none
 * @param {boolean} [options.once] serve one receiver at a time, and end when one is done
 * @param {number} [options.idleTimeout] ms after which a receiver that does nothing makes room for another one, if `once`
 * @param {number} [options.lifetime] ms after which no receiver is accepted
 * @param {Promise<void>} options.interrupted resolves at Ctrl+C, which ends the command
 * @returns {Promise<number>} the exit code
 */
export async function send(paths, { broker, name, text, password = "", token, once = false, idleTimeout, lifetime, interrupted }) {
  if (!URL.canParse(broker) || !/^https?:/.test(broker)) throw new CliError(`${broker} is not the URL of a broker: it has to begin with https://.`, USAGE_ERROR);
  const { files, leftOut } = await openFiles(paths, { name, text, interrupted });
  const page = pageOf(new URL(broker));
  const { peer, join, close } = await openPeer(page, token);
  try {
    const linkKey = randomBytes(KEY_BYTES);
    const passwordKey = await derivePasswordKey(linkKey, password);
    const share = new FileShare(peer, linkKey, { passwordKey, device: commandDevice(process.platform), once, idleTimeout });
    const entries = share.catalogue.add(files);
    reportReceivers(share);
    const isComplete = once ? firstDone(share) : new Promise(() => {});
    const expired = new Promise((resolve) => share.on("ended", (cause) => cause === "expired" && resolve(once ? FAILED : 0)));
    const closed = new Promise((_, reject) => {
      peer.on("state", (state, error) => {
        if (state !== "closed") return;
        reject(exitCodeOf(error) === TOKEN_REFUSED ? error : new CliError(`The broker ended this share: ${errorMessage(error)}`));
      });
    });
    const isJoined = await Promise.race([join().then(() => true), interrupted.then(() => false), closed]);
    if (!isJoined) throw new CliError("Stopped before the link was ready.", INTERRUPTED);
    const link = makeLink({ peerId: peer.id, key: linkKey, hasPassword: password !== "" }, page);
    if (lifetime !== undefined) share.expiresAt = new Date(Date.now() + lifetime);
    printResult(link);
    printQrCode(link);
    const without = leftOut.length > 0 ? `, without ${formatCount(leftOut.length, "entry", "entries")} named above` : "";
    printStatus(`Sharing ${formatFiles(entries)}${without}, with ${once ? "one receiver" : "everybody who has this link, until Ctrl+C"}${lifetime === undefined ? "" : `, for ${formatDuration(lifetime / 1_000)} at most`}.`);
    if (/^(localhost|127\.|\[::1\])/.test(page.host)) printStatus("The broker runs on this computer, so the link works only here. Use --broker for another one.");
    const exitCode = await Promise.race([interrupted.then(() => (once ? INTERRUPTED : 0)), isComplete.then((isAll) => (isAll ? 0 : FAILED)), expired, closed]);
    await share.stop();
    printStatus(summary(share, leftOut.length));
    return exitCode;
  } finally {
    clearProgress();
    close();
  }
}

/**
 * @param {string[]} paths
 * @param {{name?: string, text?: string, interrupted: Promise<void>}} options
 */
async function openFiles(paths, { name, text, interrupted }) {
  const found = await findFiles(paths.filter((path) => path !== "-"));
  for (const { path, cause } of found.leftOut) printStatus(`Left out: ${path} (${cause}).`);
  if (paths.includes("-")) found.files.push(await fromInput(readInput(name ?? "stdin"), interrupted));
  if (text !== undefined) {
    const file = textFile(text === "-" ? await fromInput(readText(), interrupted) : text);
    if (!file.isText) throw new CliError("The text is longer than 256 KiB: share it as a file.", USAGE_ERROR);
    if (file.size === 0) throw new CliError("The text is empty.", USAGE_ERROR);
    found.files.push({ file, path: [file.name] });
  }
  if (found.files.length === 0) throw new CliError("There are no files to share in the given paths.", USAGE_ERROR);
  return found;
}

/**
 * @template T
 * @param {Promise<T>} reading of standard input
 * @param {Promise<void>} interrupted
 * @returns {Promise<T>}
 */
async function fromInput(reading, interrupted) {
  if (process.stdin.isTTY) printStatus("Reading standard input: end it with Ctrl+D on a line of its own.");
  const stopped = interrupted.then(() => {
    throw new CliError("Stopped before standard input ended.", INTERRUPTED);
  });
  try {
    return await Promise.race([reading, stopped]);
  } finally {
    process.stdin.destroy(); // otherwise it keeps the command running
  }
}
