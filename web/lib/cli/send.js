/** `handclasp send`: shares files and folders by a link until it is stopped, and reports each receiver's progress. */

import { FileShare } from "../share/file-share.js";
import { derivePasswordKey } from "../share/password-key.js";
import { KEY_BYTES, makeLink, pageOf } from "../share/share-link.js";
import { randomBytes } from "../util/bytes.js";
import { openPeer } from "./broker-peer.js";
import { findFiles } from "./local-files.js";
import { CliError, INTERRUPTED, USAGE_ERROR, errorMessage, fileErrorMessage } from "./messages.js";
import { clearProgress, formatFiles, formatPercent, formatSize, printResult, printStatus, showProgress } from "./terminal.js";

/** @typedef {import("../share/remote-receiver.js").RemoteReceiver} RemoteReceiver */

/**
 * @param {string[]} paths files and folders
 * @param {object} options
 * @param {string} options.broker URL of its page
 * @param {string} [options.password]
 * @param {Promise<void>} options.interrupted resolves at Ctrl+C, which ends the command
 * @returns {Promise<number>} the exit code
 */
export async function send(paths, { broker, password = "", interrupted }) {
  if (!URL.canParse(broker) || !/^https?:/.test(broker)) throw new CliError(`${broker} is not the URL of a broker: it has to begin with https://.`, USAGE_ERROR);
  const { files, skipped } = await findFiles(paths);
  for (const path of skipped) printStatus(`Skipped, because it is not a file: ${path}`);
  const page = pageOf(new URL(broker));
  const { peer, join, close } = await openPeer(page);
  try {
    const linkKey = randomBytes(KEY_BYTES);
    const share = new FileShare(peer, linkKey, { passwordKey: await derivePasswordKey(linkKey, password) });
    const entries = share.catalogue.add(files);
    reportReceivers(share);
    const closed = new Promise((_, reject) => {
      peer.on("state", (state, error) => state === "closed" && reject(new CliError(`The broker ended this share: ${errorMessage(error)}`)));
    });
    const isJoined = await Promise.race([join().then(() => true), interrupted.then(() => false), closed]);
    if (!isJoined) throw new CliError("Stopped before the link was ready.", INTERRUPTED);
    printResult(makeLink({ peerId: peer.id, key: linkKey, hasPassword: password !== "" }, page));
    printStatus(`Sharing ${formatFiles(entries)} with everybody who has this link, until Ctrl+C.`);
    if (/^(localhost|127\.|\[::1\])/.test(page.host)) printStatus("The broker runs on this computer, so the link works only here. Use --broker for another one.");
    await Promise.race([interrupted, closed]);
    return 0;
  } finally {
    clearProgress();
    close();
  }
}

/** @param {FileShare} share */
function reportReceivers(share) {
  share.on("refused", ({ wrongKeys, wrongPasswords }) => {
    printStatus(`Refused a receiver. So far: ${wrongKeys} with a wrong key, ${wrongPasswords} with a wrong password. They got no information.`);
  });
  share.catalogue.on("fault", ({ path }, error) => printStatus(`${path.join("/")} cannot be sent: ${fileErrorMessage(error)}.`));
  let count = 0;
  share.on("receiver", (receiver) => {
    const name = `Receiver ${(count += 1)}`;
    let last = "";
    printStatus(`${name} is connected and verified.`);
    receiver.on("change", () => {
      const text = describeState(receiver);
      if (text !== last && text) printStatus(`${name} ${text}`);
      last = text;
      showProgress(() => share.receivers.filter(({ isConnected }) => isConnected).map(formatProgress).join("; "));
    });
  });
}

/** @param {RemoteReceiver} receiver @returns {string} empty for a state that needs no line of its own */
function describeState({ state, written, total, reason }) {
  if (state === "downloading") return `is downloading ${formatSize(total)}.`;
  if (state === "paused") return "has paused.";
  if (state === "done") return `is done: ${formatSize(total)}, written and verified there.`;
  if (state === "cancelled") return "has cancelled.";
  if (state === "failed") return "could not store the files.";
  if (state !== "left") return "";
  return total === 0 ? "left without downloading anything." : `left at ${formatPercent(written, total)} (${reason}).`;
}

/** @param {RemoteReceiver} receiver */
function formatProgress({ written, total }) {
  return `${formatPercent(written, total)} of ${formatSize(total)}`;
}
