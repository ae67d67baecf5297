/**
 * A download on the receiver's page: its target, progress bar, buttons and result. Loaded when there is
 * something to download; receive-session.js connects.
 */

import { Download } from "../lib/share/download.js";
import { TransferError } from "../lib/share/errors.js";
import { totalSize } from "../lib/share/file-entry.js";
import { openTarget } from "../lib/share/targets/open-target.js";
import { isSingleFile } from "../lib/share/targets/zip-bundle.js";
import { element } from "./dom.js";
import { showFileHash } from "./file-hash.js";
import { errorText, formatSize, formatTimeLeft, percent, t } from "./i18n.js";
import { filesToShare, urlToOpen } from "./open-file.js";
import { notify, offerNotification } from "./notify.js";
import { showTabProgress } from "./tab-progress.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../lib/share/download.js").DownloadResult} DownloadResult */
/** @typedef {import("../lib/share/download-target.js").DownloadTarget} DownloadTarget */

/** @typedef {"downloads" | "file" | "folder"} Destination the browser's downloads, or a place that the user picks */

/** @typedef {import("../lib/share/download-target.js").SavedFile} SavedFile */
/** @typedef {{text: string, kind: import("./dom.js").NoticeKind, isComplete: boolean}} Result */

/** How many failed files the result names. */
const MAX_NAMED = 10;

/**
 * @param {Destination} destination
 * @param {FileEntry[]} entries
 * @param {string} scope identifies the share
 * @returns {Promise<DownloadTarget | null>} null when the user closed the picker
 */
export async function openDestination(destination, entries, scope) {
  if (destination === "downloads") return openTarget(entries, scope);
  if (destination === "file") {
    const handle = await openPicker("showSaveFilePicker", { suggestedName: entries[0].path.at(-1) });
    const { PickedFileTarget } = await import("../lib/share/targets/picked-file-target.js");
    return handle && new PickedFileTarget(handle);
  }
  const folder = await openPicker("showDirectoryPicker", { mode: "readwrite" });
  const { FolderTarget } = await import("../lib/share/targets/folder-target.js");
  return folder && new FolderTarget(folder);
}

/**
 * @param {string} picker
 * @param {object} options
 * @returns {Promise<any>} a handle; null when the user closed the picker
 */
async function openPicker(picker, options) {
  try {
    return await /** @type {any} */ (globalThis)[picker](options);
  } catch (cause) {
    if (/** @type {Error} */ (cause).name === "AbortError") return null;
    throw new TransferError("place", `${picker} was refused`, { cause });
  }
}

/**
 * @param {import("../lib/share/file-fetch.js").FileFetch} fetch
 * @param {FileEntry[]} entries
 * @param {DownloadTarget} target
 * @returns {Promise<Result>} to show at the end
 * @throws {Error} nothing arrived
 */
export async function runDownload(fetch, entries, target) {
  const download = new Download(entries, target);
  const panel = element("receive-progress", HTMLElement);
  const isCancelled = connectButtons(download);
  hideResult();
  void showFileHash("receive-hash", null);
  panel.hidden = false;
  offerNotification("receive-notify");
  const removeListener = download.on("progress", showProgress);
  showProgress(download.progress);
  fetch.add(download);
  try {
    return await saveFiles(await download.finished, entries);
  } catch (error) {
    if (isCancelled()) return { text: t("cancelled_here"), kind: "neutral", isComplete: false };
    void notify(errorText(error));
    throw error;
  } finally {
    removeListener();
    panel.hidden = true;
    showTabProgress(null);
  }
}

/**
 * @param {Download} download
 * @returns {() => boolean} whether the user has cancelled it
 */
function connectButtons(download) {
  const pause = element("pause", HTMLButtonElement);
  let isPaused = false;
  let isCancelled = false;
  pause.onclick = () => {
    isPaused = !isPaused;
    if (isPaused) download.pause();
    else download.resume();
    pause.textContent = t(isPaused ? "resume" : "pause");
  };
  element("cancel", HTMLButtonElement).onclick = () => {
    isCancelled = true;
    download.cancel();
  };
  pause.textContent = t("pause");
  return () => isCancelled;
}

/** @param {import("../lib/share/download.js").DownloadProgress} progress */
function showProgress({ state, written, total, speed, secondsLeft }) {
  const figures = [percent(written, total), formatSize(written), formatSize(total)];
  const bar = element("receive-bar", HTMLProgressElement);
  const text = element("receive-figures", HTMLElement);
  bar.value = total === 0 ? 1 : written / total;
  showTabProgress(bar.value);
  if (state === "paused") showFigures(text, t("paused_at", ...figures));
  else if (state === "waiting") showFigures(text, t("waiting_at", ...figures));
  else if (written === total) showFigures(text, t("state.finishing"));
  else showFigures(text, t("figures", ...figures, formatSize(Math.round(speed)), formatTimeLeft(secondsLeft)));
}

/**
 * @param {HTMLElement} place
 * @param {string} text its first part is shown large
 */
function showFigures(place, text) {
  const [first, ...rest] = text.split(" · ");
  const large = document.createElement("strong");
  const small = document.createElement("span");
  large.textContent = first;
  small.textContent = rest.join(" · ");
  place.replaceChildren(large, small);
}

/**
 * @param {DownloadResult} result
 * @param {FileEntry[]} entries
 * @returns {Promise<Result>}
 */
async function saveFiles({ files, failed }, entries) {
  const save = element("save", HTMLAnchorElement);
  element("result", HTMLElement).hidden = false;
  for (const saved of files) {
    const { name, blob } = saved;
    if (!blob) continue;
    await offerActions(saved);
    save.href = URL.createObjectURL(blob);
    save.download = name;
    save.hidden = false;
    save.textContent = t(needsPress() ? "save" : "save_again");
    if (!needsPress()) save.click();
    // The sender has no hash of a ZIP archive to compare with.
    if (isSingleFile(entries)) void showFileHash("receive-hash", blob);
  }
  const text = resultText(failed, entries);
  const isComplete = failed.length === 0;
  void notify(isComplete ? text : t("notify_some", entries.length - failed.length, entries.length));
  if (needsPress() && !save.hidden) return { text: `${text}\n${t("press_save")}`, kind: "wait", isComplete };
  return { text, kind: isComplete ? "good" : "wait", isComplete };
}

/** @param {SavedFile} saved that this page holds */
async function offerActions(saved) {
  const open = element("open", HTMLAnchorElement);
  const share = element("share-result", HTMLButtonElement);
  const url = await urlToOpen(saved);
  if (url) open.href = url;
  open.hidden = !url;
  const files = filesToShare(saved);
  // Elsewhere than on phones, a share sheet is a detour to the file.
  share.hidden = matchMedia("(any-pointer: fine)").matches || !navigator.canShare?.({ files });
  // Closing the share sheet rejects the promise and is not an error.
  share.onclick = () => void navigator.share({ files }).catch(() => {});
}

/** Takes away what could be done with the last result. */
function hideResult() {
  const open = element("open", HTMLAnchorElement);
  const save = element("save", HTMLAnchorElement);
  for (const link of [open, save]) if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  for (const id of ["result", "open", "save", "share-result"]) element(id, HTMLElement).hidden = true;
}

/**
 * @returns {boolean} whether the browser ignores a download that no press has started, as WebKit does on phones and
 *   tablets. An iPad calls itself a Macintosh, and no Macintosh has a touch screen
 */
function needsPress() {
  const { userAgent, maxTouchPoints } = navigator;
  return /iPhone|iPad|iPod/.test(userAgent) || (userAgent.includes("Macintosh") && maxTouchPoints > 1);
}

/**
 * @param {DownloadResult["failed"]} failed
 * @param {FileEntry[]} entries
 */
function resultText(failed, entries) {
  if (failed.length === 0) return t("done", formatSize(totalSize(entries)));
  const missing = failed.slice(0, MAX_NAMED).map(({ entry, error }) => `${entry.path.join("/")}: ${errorText(error)}`);
  if (failed.length > MAX_NAMED) missing.push("…");
  return t("done_some", entries.length - failed.length, entries.length, missing.join(" "));
}
