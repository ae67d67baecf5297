/** `handclasp get`: takes all that a link offers into a folder, or tells what there is. */

import { readLink } from "../share/share-link.js";
import { Download } from "../share/download.js";
import { FileFetch } from "../share/file-fetch.js";
import { stretch } from "../share/derive-key.js";
import { openPeer } from "./broker-peer.js";
import { DiskFolder } from "./directory-target.js";
import { endProgress, filesText, percentText, print, say, showProgress, sizeText, timeText } from "./terminal.js";
import { Complaint, FAILED, INTERRUPTED, MISUSED, fileFault, sentence } from "./messages.js";

/** @typedef {import("../share/catalogue.js").Entry} Entry */
/** @typedef {import("../share/download.js").Progress} Progress */

/**
 * @param {string} link
 * @param {object} options
 * @param {string} [options.out] a folder (default: where the command runs)
 * @param {string} [options.password]
 * @param {boolean} [options.list] tell, take nothing
 * @param {Promise<void>} options.interrupted by ^C
 * @returns {Promise<number>} the exit code
 */
export async function get(link, { out = ".", password = "", list = false, interrupted }) {
  const { origin, peerId, key } = await invitation(link, password);
  const { peer, join, leave } = await openPeer(origin);
  const fetch = new FileFetch(peer, peerId, key);
  const stopped = interrupted.then(() => {
    throw new Complaint("Stopped. What has arrived is kept: the same command goes on from there.", INTERRUPTED);
  });
  try {
    const work = join().then(() => visit(fetch, list ? tell : (entries) => take(fetch, entries, new DiskFolder(out, peerId))));
    const exitCode = await Promise.race([work, stopped]);
    await fetch.leave(); // the sender hears that all is written
    return exitCode;
  } finally {
    endProgress();
    fetch.stop();
    leave();
  }
}

/**
 * @param {string} link
 * @param {string} password
 * @returns {Promise<{origin: string, peerId: string, key: Uint8Array<ArrayBuffer>}>} key: to prove with
 */
async function invitation(link, password) {
  if (!URL.canParse(link) || !/^https?:/.test(link)) throw new Complaint("That is no link. It begins with https:// and is to be put in quotes.", MISUSED);
  const { origin, search, hash } = new URL(link);
  const read = readLink({ search, hash });
  if (read === "bad_id") throw new Complaint("This link is damaged: its peer_id is no id. Copy the link again, all of it.", MISUSED);
  if (read === "no_key") throw new Complaint("This link is incomplete: its key, behind #k=, is missing or damaged. Copy all of it, and put it in quotes: '…'.", MISUSED);
  if (typeof read === "string") throw new Complaint("This link leads to nobody: it has no peer_id. Copy the link again, all of it.", MISUSED);
  const { peerId, key, hasPassword } = read;
  if (hasPassword && password === "") throw new Complaint("A password belongs to this link: give it with --password, or in the variable HANDCLASP_PASSWORD.", MISUSED);
  return { origin, peerId, key: hasPassword ? await stretch(key, password) : key };
}

/**
 * Until the work on the first list of files is done, over as many connections as it takes.
 *
 * @param {FileFetch} fetch
 * @param {(entries: Entry[]) => Promise<number>} work
 * @returns {Promise<number>}
 */
function visit(fetch, work) {
  let told = "";
  return new Promise((resolve, reject) => {
    let isAtWork = false;
    fetch.on("state", (state, error) => {
      if (state === "ended") return reject(error);
      if (state === "verified") say("Connected and verified.");
      const words = state === "waiting" ? sentence(error) : "";
      // The same trouble, again and again, is said once.
      if (words && words !== told) say(`${words} Trying again by itself; ^C ends it.`);
      if (state === "waiting" || state === "verified") told = words;
    });
    fetch.on("list", (entries) => {
      if (isAtWork) return;
      if (entries.length === 0) return say("Nothing is on offer yet. Waiting for it; ^C ends it.");
      isAtWork = true;
      work(entries).then(resolve, reject);
    });
    fetch.start().catch(reject);
  });
}

/** @param {Entry[]} entries */
async function tell(entries) {
  for (const { path, size } of entries) print(`${sizeText(size).padStart(10)}  ${path.join("/")}`);
  say(`${filesText(entries.length, sum(entries))}.`);
  return 0;
}

/**
 * @param {FileFetch} fetch
 * @param {Entry[]} entries
 * @param {DiskFolder} folder
 */
async function take(fetch, entries, folder) {
  say(`Fetching ${filesText(entries.length, sum(entries))}.`);
  const download = new Download(entries, folder);
  download.on("progress", (progress) => showProgress(() => line(progress)));
  fetch.take(download);
  const { files, failed } = await download.finished;
  for (const { name } of files) print(name);
  for (const { entry, error } of failed) say(`${entry.path.join("/")} did not come: ${fileFault(error)}.`);
  const good = entries.filter((entry) => !failed.some((other) => other.entry === entry));
  const kept = folder.kept > 0 ? `; ${sizeText(folder.kept)} of it was here already` : "";
  say(`${failed.length === 0 ? "Done" : "Not all came"}: ${filesText(good.length, sum(good))}, written and verified${kept}.`);
  return failed.length === 0 ? 0 : FAILED;
}

/** @param {Progress} progress */
function line({ state, written, total, speed, left }) {
  const figures = `${percentText(written, total)} of ${sizeText(total)}`;
  if (state === "waiting") return `${figures}, waiting for the sender`;
  return `${figures}, ${sizeText(Math.round(speed))}/s${Number.isFinite(left) ? `, ${timeText(left)} left` : ""}`;
}

/** @param {Entry[]} entries */
function sum(entries) {
  return entries.reduce((bytes, { size }) => bytes + size, 0);
}
