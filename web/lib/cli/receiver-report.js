/** Prints what the receivers of a share do, and in the end what has arrived. */

import { fileErrorMessage } from "./messages.js";
import { formatCount, formatPercent, formatSize, printStatus, showProgress } from "./terminal.js";

/** @typedef {import("../share/file-share.js").FileShare} FileShare */
/** @typedef {import("../share/remote-receiver.js").RemoteReceiver} RemoteReceiver */

/** @param {FileShare} share */
export function reportReceivers(share) {
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

/**
 * @param {FileShare} share
 * @param {number} leftOut how many entries could not be shared
 * @returns {string} the last word
 */
export function summary(share, leftOut) {
  const receivers = share.receivers.filter(({ total, state }) => total > 0 || state === "done");
  const complete = receivers.filter(hasAll).length;
  const rest = receivers.length - complete;
  const words = [`Stopped. ${formatCount(complete, "receiver has", "receivers have")} everything`];
  if (rest > 0) words.push(`, ${formatCount(rest, "has", "have")} only a part`);
  words.push(".");
  if (leftOut > 0) words.push(` ${formatCount(leftOut, "entry was", "entries were")} left out, as named above.`);
  return words.join("");
}

/** @param {RemoteReceiver} receiver */
function hasAll({ state, written, total }) {
  return state === "done" && written === total;
}

/** @param {RemoteReceiver} receiver @returns {string} empty for a state that needs no line of its own */
function describeState(receiver) {
  const { state, written, total, reason } = receiver;
  if (state === "downloading") return `is downloading ${formatSize(total)}.`;
  if (state === "paused") return "has paused.";
  if (state === "done" && !hasAll(receiver)) return `has ended with a part: ${formatSize(written)} of ${formatSize(total)}, written and verified there.`;
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
