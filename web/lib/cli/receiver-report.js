/** Prints what the receivers of a share do, and in the end what has arrived. */

import { Throughput } from "../share/throughput.js";
import { fileErrorMessage } from "./messages.js";
import { formatCount, formatDevice, formatDuration, formatPace, formatPercent, formatSize, printStatus, showProgress } from "./terminal.js";

/** @typedef {import("../share/file-share.js").FileShare} FileShare */
/** @typedef {import("../share/remote-receiver.js").RemoteReceiver} RemoteReceiver */

/** @param {FileShare} share */
export function reportReceivers(share) {
  share.on("refused", ({ wrongKeys, wrongPasswords }) => {
    printStatus(`Refused a receiver. So far: ${wrongKeys} with a wrong key, ${wrongPasswords} with a wrong password. They got no information.`);
  });
  share.catalogue.on("fault", ({ path }, error) => printStatus(`${path.join("/")} cannot be sent: ${fileErrorMessage(error)}.`));
  /** @type {Map<RemoteReceiver, Pace>} */
  const paces = new Map();
  let count = 0;
  share.on("receiver", (receiver) => {
    const name = `Receiver ${(count += 1)}`;
    const pace = new Pace();
    let last = "";
    let device = /** @type {import("../share/device.js").Device | null} */ (null);
    paces.set(receiver, pace);
    receiver.on("forgotten", () => paces.delete(receiver));
    printStatus(`${name} is connected and verified.`);
    receiver.on("change", () => {
      pace.update(receiver);
      if (receiver.device && !device) printStatus(`${name} is ${formatDevice(receiver.device)}.`);
      device ??= receiver.device;
      const text = describeState(receiver, pace);
      if (text !== last && text) printStatus(`${name} ${text}`);
      last = text;
      // One that has chosen nothing yet has no progress.
      const active = share.receivers.filter(({ isConnected, total }) => isConnected && total > 0);
      if (active.length > 0) showProgress(() => active.map((other) => formatProgress(other, paces.get(other))).join("; "));
    });
  });
}

/** How fast one receiver gets its files. */
class Pace {
  /** As of now; null while nothing is sent. */
  current = /** @type {{speed: number, secondsLeft: number} | null} */ (null);
  /** How long it has been downloading so far. */
  seconds = 0;
  #throughput = /** @type {Throughput | null} */ (null);
  #updatedAt = 0;

  /** @param {RemoteReceiver} receiver */
  update({ state, written, total }) {
    const now = performance.now();
    if (this.#throughput) this.seconds += (now - this.#updatedAt) / 1_000;
    this.#updatedAt = now;
    if (state !== "downloading") {
      this.#throughput = this.current = null;
      return;
    }
    if (!this.#throughput) {
      // What the receiver has stored before was not sent now.
      this.#throughput = new Throughput(total);
      this.#throughput.skip(written);
    }
    this.current = this.#throughput.update(written);
  }
}

/**
 * @param {FileShare} share
 * @returns {Promise<boolean>} resolves when the first receiver is done: whether all that it chose has arrived
 */
export function firstDone(share) {
  let hasFault = false;
  share.catalogue.on("fault", () => (hasFault = true));
  return new Promise((resolve) => {
    share.on("receiver", (receiver) => receiver.on("change", () => {
      if (receiver.state === "done") resolve(hasAll(receiver));
      // Without a fault, the receiver could not store the files, and may try again elsewhere.
      else if (receiver.state === "failed" && hasFault) resolve(false);
    }));
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
  const words = [formatCount(complete, "receiver has all that it chose", "receivers have all that they chose")];
  if (rest > 0) words.push(`, ${formatCount(rest, "has", "have")} only a part`);
  words.push(".");
  if (leftOut > 0) words.push(` ${formatCount(leftOut, "entry was", "entries were")} left out, as named above.`);
  return words.join("");
}

/** @param {RemoteReceiver} receiver */
function hasAll({ state, failed }) {
  return state === "done" && failed === 0;
}

/**
 * @param {RemoteReceiver} receiver
 * @param {Pace} pace
 * @returns {string} empty for a state that needs no line of its own
 */
function describeState(receiver, { seconds }) {
  const { state, written, total, reason } = receiver;
  if (state === "downloading") return `is downloading ${formatSize(total)}.`;
  if (state === "paused") return "has paused.";
  if (state === "done" && !hasAll(receiver)) return `has ended with a part: ${formatSize(written)} of ${formatSize(total)}, written and verified there; ${formatCount(receiver.failed, "file", "files")} did not arrive.`;
  // No speed: only the receiver knows how much of it was stored before.
  if (state === "done") return `is done: ${formatSize(total)}, written and verified there, in ${formatDuration(seconds)}.`;
  if (state === "cancelled") return "has cancelled.";
  if (state === "failed") return "could not store the files.";
  if (state === "stopped") return `was stopped at ${formatPercent(written, total)}.`;
  if (state !== "left") return "";
  return total === 0 ? "left without downloading anything." : `left at ${formatPercent(written, total)} (${reason}).`;
}

/**
 * @param {RemoteReceiver} receiver
 * @param {Pace} [pace]
 */
function formatProgress({ written, total }, pace) {
  return `${formatPercent(written, total)} of ${formatSize(total)}${pace?.current ? `, ${formatPace(pace.current)}` : ""}`;
}
