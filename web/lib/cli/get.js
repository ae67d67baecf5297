/** `handclasp get`: downloads all files of a share into a folder, or lists them. */

import { readFile } from "node:fs/promises";
import { commandDevice } from "../share/device.js";
import { Download } from "../share/download.js";
import { pathText } from "../share/file-entry.js";
import { FileFetch } from "../share/file-fetch.js";
import { derivePasswordKey } from "../share/password-key.js";
import { pageOf, readLink, readUrl } from "../share/share-link.js";
import { openPeer } from "./broker-peer.js";
import { DirectoryTarget } from "./directory-target.js";
import { CliError, FAILED, INTERRUPTED, USAGE_ERROR, errorMessage, fileErrorMessage } from "./messages.js";
import { StdoutTarget } from "./stdout-target.js";
import { clearProgress, formatDevice, formatFiles, formatPace, formatPercent, formatSize, printResult, printStatus, showProgress } from "./terminal.js";

/** A text of at most this many bytes is printed. */
const SHORT_TEXT_BYTES = 2_000;

/** @typedef {import("../share/download.js").DownloadProgress} DownloadProgress */
/** @typedef {import("../share/file-entry.js").FileEntry} FileEntry */

/**
 * @param {string} link
 * @param {object} options
 * @param {string} [options.out] a folder (default: the current one), or `-` for standard output
 * @param {string} [options.password]
 * @param {import("./token.js").ReadToken | string} options.token empty: none
 * @param {boolean} [options.list] list the files and download nothing
 * @param {Promise<void>} options.interrupted resolves at Ctrl+C
 * @returns {Promise<number>} the exit code
 */
export async function get(link, { out = ".", password = "", token, list = false, interrupted }) {
  const { page, peerId, key, passwordKey } = await parseLink(link, password);
  const { peer, join, close } = await openPeer(page, token);
  const fetch = new FileFetch(peer, peerId, key, { passwordKey, device: commandDevice(process.platform) });
  const toOutput = out === "-" && !list;
  const stopped = interrupted.then(() => {
    throw new CliError(toOutput ? "Stopped. The output is incomplete." : "Stopped. Received data is kept: run the same command again to continue.", INTERRUPTED);
  });
  try {
    const work = join().then(() => runWithList(fetch, async (entries) => {
      if (list) return printList(entries);
      if (!toOutput) return downloadAll(fetch, entries, new DirectoryTarget(out, peerId));
      const files = entries.filter(({ isFolder }) => !isFolder);
      if (files.length !== 1) throw new CliError(`The share has ${files.length} files, and --out - takes one. Use --out FOLDER.`, USAGE_ERROR);
      return downloadAll(fetch, files, new StdoutTarget());
    }));
    const exitCode = await Promise.race([work, stopped]);
    await fetch.stopGracefully(); // the sender receives the last progress report
    return exitCode;
  } finally {
    clearProgress();
    fetch.stop();
    close();
  }
}

/**
 * @param {string} link
 * @param {string} password
 * @returns {Promise<{page: URL, peerId: string, key: Uint8Array<ArrayBuffer>, passwordKey: Uint8Array<ArrayBuffer> | null}>}
 */
async function parseLink(link, password) {
  const url = readUrl(link);
  if (!url) throw new CliError("Not a link: it has to begin with https://. Put it in quotes.", USAGE_ERROR);
  const parsed = readLink(url);
  if (parsed === "bad_id") throw new CliError("This link is damaged: its peer_id is invalid. Copy the whole link again.", USAGE_ERROR);
  if (parsed === "no_key") throw new CliError("This link is incomplete: the key after #k= is missing or damaged. Copy the whole link, and put it in quotes: '…'.", USAGE_ERROR);
  if (typeof parsed === "string") throw new CliError("This link is incomplete: it has no peer_id. Copy the whole link again.", USAGE_ERROR);
  const { peerId, key, hasPassword } = parsed;
  if (hasPassword && password === "") throw new CliError("This link needs a password: use --password or the environment variable HANDCLASP_PASSWORD.", USAGE_ERROR);
  return { page: pageOf(url), peerId, key, passwordKey: hasPassword ? await derivePasswordKey(key, password) : null };
}

/**
 * Waits for the first list of files and runs the work on it, over as many connections as it takes.
 *
 * @param {FileFetch} fetch
 * @param {(entries: FileEntry[]) => Promise<number>} work
 * @returns {Promise<number>}
 */
function runWithList(fetch, work) {
  let lastMessage = "";
  return new Promise((resolve, reject) => {
    let isWorking = false;
    fetch.on("state", (state, error) => {
      // A download that is not complete fails with the same error. One that is complete is still being reported.
      if (state === "ended") return isWorking ? undefined : reject(error);
      if (state === "verified") printStatus(fetch.sharer ? `Connected and verified: ${formatDevice(fetch.sharer)}.` : "Connected and verified.");
      const message = state === "waiting" ? errorMessage(error) : "";
      // A failure that repeats is printed once.
      if (message && message !== lastMessage) printStatus(`${message} Retrying; press Ctrl+C to stop.`);
      if (state === "waiting" || state === "verified") lastMessage = message;
    });
    fetch.on("list", (entries) => {
      if (isWorking) return;
      if (entries.length === 0) return printStatus("The sender shares no files yet. Waiting; press Ctrl+C to stop.");
      isWorking = true;
      work(entries).then(resolve, reject);
    });
    fetch.start().catch(reject);
  });
}

/** @param {FileEntry[]} entries */
function printList(entries) {
  for (const entry of entries) printResult(`${formatSize(entry.size).padStart(10)}  ${pathText(entry)}`);
  printStatus(`${formatFiles(entries)}.`);
  return 0;
}

/**
 * @param {FileFetch} fetch
 * @param {FileEntry[]} entries
 * @param {DirectoryTarget | StdoutTarget} target
 */
async function downloadAll(fetch, entries, target) {
  printStatus(`Downloading ${formatFiles(entries)}.`);
  const download = new Download(entries, target);
  download.on("progress", (progress) => showProgress(() => formatProgress(progress)));
  fetch.add(download);
  const { files, failed } = await download.finished;
  for (const { name } of files) printResult(name);
  for (const { path, sentAs } of entries) if (sentAs !== undefined) printStatus(`Renamed, because the name is not safe on every system: ${sentAs} -> ${path.join("/")}`);
  for (const { entry, error } of failed) printStatus(`${entry.path.join("/")} did not arrive: ${fileErrorMessage(error)}.`);
  const missing = new Set(failed.map(({ entry }) => entry));
  const arrived = entries.filter((entry) => !missing.has(entry));
  if (target instanceof DirectoryTarget) await printTexts(arrived, files.map(({ name }) => name));
  const reused = target.reusedBytes > 0 ? `; ${formatSize(target.reusedBytes)} of it was already here` : "";
  printStatus(`${failed.length === 0 ? "Done" : "Incomplete"}: ${formatFiles(arrived)}, written and verified${reused}.`);
  return failed.length === 0 ? 0 : FAILED;
}

/**
 * Prints the short ones of the texts that the sender wants to be shown. Each line has a mark, so that none can pass for a
 * message of the command.
 *
 * @param {FileEntry[]} entries
 * @param {string[]} paths where each one is stored
 */
async function printTexts(entries, paths) {
  for (const [index, { text, size }] of entries.entries()) {
    if (!text || size > SHORT_TEXT_BYTES) continue;
    const lines = (await readFile(paths[index], "utf8")).replace(/\n$/, "").split("\n");
    printStatus([`${paths[index]} says:`, ...lines.map((line) => `  | ${line}`)].join("\n"));
  }
}

/** @param {DownloadProgress} progress */
function formatProgress({ state, written, total, speed, secondsLeft }) {
  const progress = `${formatPercent(written, total)} of ${formatSize(total)}`;
  if (state === "waiting") return `${progress}, waiting for the sender`;
  return `${progress}, ${formatPace({ speed, secondsLeft })}`;
}
