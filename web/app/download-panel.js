/**
 * Downloads on the receiver's page: where each one goes, its bar, its buttons, and what is
 * said at its end. Fetched once there is something to download; connecting is receive.js's.
 */

import { Download } from "../lib/share/download.js";
import { TransferError } from "../lib/util/errors.js";
import { openTarget } from "../lib/share/targets/target.js";
import { showHash } from "./file-hash.js";
import { element } from "./dom.js";
import { showInTab } from "./tab-progress.js";
import { failureText, leftText, percent, sizeText, t } from "./i18n.js";

/** @typedef {import("../lib/share/catalogue.js").Entry} Entry */
/** @typedef {import("../lib/share/targets/target.js").Target} Target */

/** @typedef {"downloads" | "file" | "folder"} Place the browser's own downloads, or what the person picks */

/**
 * @param {Place} place
 * @param {Entry[]} entries
 * @param {string} scope names the share
 * @returns {Promise<Target | null>} null when the person closed the picker
 */
export async function openPlace(place, entries, scope) {
  if (place === "downloads") return openTarget(entries, scope);
  if (place === "file") {
    const handle = await pick("showSaveFilePicker", { suggestedName: entries[0].path.at(-1) });
    const { PickedFileTarget } = await import("../lib/share/targets/picked-file-target.js");
    return handle && new PickedFileTarget(handle);
  }
  const folder = await pick("showDirectoryPicker", { mode: "readwrite" });
  const { FolderTarget } = await import("../lib/share/targets/folder-target.js");
  return folder && new FolderTarget(folder);
}

/**
 * @param {string} picker
 * @param {object} options
 * @returns {Promise<any>} a handle, or null
 */
async function pick(picker, options) {
  try {
    return await /** @type {any} */ (globalThis)[picker](options);
  } catch (cause) {
    if (/** @type {Error} */ (cause).name === "AbortError") return null; // the person closed it
    throw new TransferError("place", `${picker} was refused`, { cause });
  }
}

/**
 * @param {import("../lib/share/file-fetch.js").FileFetch} fetch
 * @param {Entry[]} entries
 * @param {Target} target
 * @returns {Promise<string>} what is to be said of its end
 * @throws {Error} why nothing arrived
 */
export async function takeInto(fetch, entries, target) {
  const download = new Download(entries, target);
  const panel = element("receive-progress", HTMLElement);
  const cancelled = listenToButtons(download);
  element("save", HTMLElement).hidden = true;
  void showHash("receive-hash", null);
  panel.hidden = false;
  const stop = download.on("progress", show);
  show(download.progress);
  fetch.take(download);
  try {
    return handOver(await download.finished, entries);
  } catch (error) {
    if (cancelled()) return t("cancelled_here");
    throw error;
  } finally {
    stop();
    panel.hidden = true;
    showInTab(null);
  }
}

/**
 * @param {Download} download
 * @returns {() => boolean} whether it was cancelled here
 */
function listenToButtons(download) {
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

/** @param {import("../lib/share/download.js").Progress} progress */
function show({ state, written, total, speed, left }) {
  const figures = [percent(written, total), sizeText(written), sizeText(total)];
  const bar = element("receive-bar", HTMLProgressElement);
  const words = element("receive-figures", HTMLElement);
  bar.value = total === 0 ? 1 : written / total;
  showInTab(bar.value);
  if (state === "paused") words.textContent = t("paused_at", ...figures);
  else if (state === "waiting") words.textContent = t("waiting_at", ...figures);
  else if (written === total) words.textContent = t("state.finishing");
  else words.textContent = t("figures", ...figures, sizeText(Math.round(speed)), leftText(left));
}

/**
 * @param {import("../lib/share/download.js").Outcome} outcome
 * @param {Entry[]} entries
 */
function handOver({ files, failed }, entries) {
  const save = element("save", HTMLAnchorElement);
  for (const { name, blob } of files) {
    if (!blob) continue;
    save.href = URL.createObjectURL(blob);
    save.download = name;
    save.hidden = false;
    save.click();
    // a zip has a hash as well, but none that the sender could compare
    if (entries.length === 1 && entries[0].path.length === 1) void showHash("receive-hash", blob);
  }
  return endText(failed, entries);
}

/**
 * @param {import("../lib/share/download.js").Outcome["failed"]} failed
 * @param {Entry[]} entries
 */
function endText(failed, entries) {
  if (failed.length === 0) return t("done", sizeText(entries.reduce((sum, { size }) => sum + size, 0)));
  const missing = failed.map(({ entry, error }) => `${entry.path.join("/")}: ${failureText(error)}`);
  return t("done_some", entries.length - failed.length, entries.length, missing.join(" "));
}
