/** `handclasp send`: shares files and folders by a link for as long as it runs, and tells who takes how much. */

import { makeLink } from "../share/share-link.js";
import { randomBytes } from "../util/bytes.js";
import { FileShare } from "../share/file-share.js";
import { stretch } from "../share/derive-key.js";
import { KEY_BYTES } from "../share/key-proof.js";
import { openPeer } from "./broker-peer.js";
import { offersOf } from "./local-files.js";
import { endProgress, filesText, percentText, print, say, showProgress, sizeText } from "./terminal.js";
import { Complaint, INTERRUPTED, MISUSED, fileFault, sentence } from "./messages.js";

/** @typedef {import("../share/file-share.js").Reception} Reception */

/**
 * @param {string[]} paths files and folders
 * @param {object} options
 * @param {string} options.broker the address of its page
 * @param {string} [options.password]
 * @param {Promise<void>} options.interrupted by ^C, which is how it ends
 * @returns {Promise<number>} the exit code
 */
export async function send(paths, { broker, password = "", interrupted }) {
  if (!URL.canParse(broker) || !/^https?:/.test(broker)) throw new Complaint(`${broker} is no address of a broker: it begins with https://.`, MISUSED);
  const { offers, skipped } = await offersOf(paths);
  for (const place of skipped) say(`Left out, since it is no file: ${place}`);
  const { origin } = new URL(broker);
  const { peer, join, leave } = await openPeer(origin);
  try {
    const key = randomBytes(KEY_BYTES);
    const share = new FileShare(peer, await stretch(key, password));
    const entries = share.catalogue.add(offers);
    follow(share);
    const ended = new Promise((_, reject) => {
      peer.on("state", (state, error) => state === "closed" && reject(new Complaint(`The broker ended this share: ${sentence(error)}`)));
    });
    const isJoined = await Promise.race([join().then(() => true), interrupted.then(() => false), ended]);
    if (!isJoined) throw new Complaint("Stopped before there was a link.", INTERRUPTED);
    print(makeLink({ peerId: peer.id, key, hasPassword: password !== "" }, { origin, pathname: "/" }));
    say(`Sharing ${filesText(entries.length, entries.reduce((bytes, { size }) => bytes + size, 0))} with whoever has this link, until ^C.`);
    if (/^(localhost|127\.|\[::1\])/.test(new URL(origin).host)) say("This broker is on this very computer, and so are those whom the link can reach: --broker names another.");
    await Promise.race([interrupted, ended]);
    return 0;
  } finally {
    endProgress();
    leave();
  }
}

/** @param {FileShare} share */
function follow(share) {
  share.on("refused", (count) => say(`Somebody came with a wrong key or password (${count} so far); nothing was said to them.`));
  share.catalogue.on("fault", ({ path }, error) => say(`${path.join("/")} cannot be sent: ${fileFault(error)}.`));
  let last = 0;
  share.on("receiver", (reception) => {
    const name = `Receiver ${(last += 1)}`;
    let told = "";
    say(`${name} is here and verified.`);
    reception.on("change", () => {
      const words = event(reception);
      if (words !== told && words) say(`${name} ${words}`);
      told = words;
      showProgress(() => share.receivers.filter(({ isHere }) => isHere).map(line).join("; "));
    });
  });
}

/** @param {Reception} reception @returns {string} what is worth a line of its own */
function event({ state, written, total, reason }) {
  if (state === "downloading") return `takes ${sizeText(total)}.`;
  if (state === "paused") return "has paused.";
  if (state === "done") return `is done: ${sizeText(total)}, written and verified there.`;
  if (state === "cancelled") return "has cancelled.";
  if (state === "failed") return "could not store it.";
  if (state !== "left") return "";
  return total === 0 ? "left and has taken nothing." : `left at ${percentText(written, total)} (${reason}).`;
}

/** @param {Reception} reception */
function line({ written, total }) {
  return `${percentText(written, total)} of ${sizeText(total)}`;
}
