/** Files and folders from the user, with their paths: dropped, pasted or picked. */

import { emptyFolder } from "../lib/share/file-entry.js";
import { isIntoField } from "./dom.js";

/** @typedef {import("./file-handles.js").Handle} Handle */
/** @typedef {import("./file-handles.js").PickedFile} PickedFile */
/** @typedef {{files: PickedFile[], handles: Handle[]}} PickedFiles handles: for access after a reload, if the browser has them */

/**
 * Accepts files that are dropped or pasted anywhere on the page, and those of the inputs.
 *
 * @param {HTMLInputElement[]} inputs
 * @param {(picked: Promise<PickedFiles>) => void} onPick
 */
export function acceptFiles(inputs, onPick) {
  const { classList } = document.body;
  addEventListener("dragover", (event) => {
    event.preventDefault(); // otherwise the browser would open the file
    if (!isDialogOpen()) classList.add("dragging");
    else if (event.dataTransfer) event.dataTransfer.dropEffect = "none";
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? classList.remove("dragging"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    classList.remove("dragging");
    if (event.dataTransfer && !isDialogOpen()) onPick(filesOfTransfer(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const { clipboardData } = event;
    if (!clipboardData?.files.length || isDialogOpen()) return;
    // A spreadsheet puts a text and its picture there: into a field goes the text, and nothing is shared. A file
    // manager puts a file and its name there.
    if (isIntoField(event) && clipboardData.types.includes("text/plain")) return;
    onPick(filesOfTransfer(clipboardData));
  });
  for (const input of inputs) {
    input.addEventListener("change", () => {
      const files = Array.from(input.files ?? [], (file) => ({ file, path: pathOf(file) }));
      onPick(Promise.resolve({ files, handles: [] }));
      input.value = ""; // so that a removed file can be picked again
    });
    // Files of this picker can be read again after a reload. It is not used for folders, because it
    // refuses some of them, for example the downloads folder.
    if ("showOpenFilePicker" in globalThis && !input.webkitdirectory) {
      input.addEventListener("click", (event) => {
        event.preventDefault();
        onPick(openPicker());
      });
    }
  }
}

/** @returns {boolean} whether a dialog covers the page, behind which nothing is shared unseen */
function isDialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

/** @returns {Promise<PickedFiles>} */
async function openPicker() {
  try {
    /** @type {Array<Handle & FileSystemFileHandle>} */
    const handles = await /** @type {any} */ (globalThis).showOpenFilePicker({ multiple: true });
    const files = handles.map(async (handle) => ({ file: await handle.getFile(), path: [handle.name] }));
    return { files: await Promise.all(files), handles };
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") return { files: [], handles: [] }; // the user closed it
    throw error;
  }
}

/** @param {File} file */
function pathOf(file) {
  return file.webkitRelativePath ? file.webkitRelativePath.split("/") : [file.name];
}

/**
 * @param {DataTransfer} data
 * @returns {Promise<PickedFiles>}
 */
async function filesOfTransfer(data) {
  // The browser empties the list after the first `await`, so everything is read before.
  const entries = Array.from(data.items, (item) => item.webkitGetAsEntry?.()).filter((entry) => !!entry);
  const plainFiles = Array.from(data.files, (file) => ({ file, path: [file.name] }));
  const handles = Array.from(data.items, (item) => /** @type {any} */ (item).getAsFileSystemHandle?.());
  const files = [];
  for (const entry of entries) files.push(...(await walk(entry, [])));
  const settled = await Promise.allSettled(handles);
  return {
    files: entries.length > 0 ? files : plainFiles,
    handles: settled.flatMap((result) => (result.status === "fulfilled" && result.value ? [result.value] : [])),
  };
}

/**
 * @param {FileSystemEntry} entry
 * @param {string[]} folder
 * @returns {Promise<PickedFile[]>}
 */
async function walk(entry, folder) {
  const path = [...folder, entry.name];
  if (entry.isFile) {
    const fileEntry = /** @type {FileSystemFileEntry} */ (entry);
    return [{ file: await new Promise((resolve, reject) => fileEntry.file(resolve, reject)), path }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const files = [];
  for (let isEmpty = true; ; isEmpty = false) {
    // Browsers return at most a hundred entries per call, and an empty list at the end.
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return isEmpty ? [{ file: emptyFolder(entry.name), path }] : files;
    for (const child of entries) files.push(...(await walk(child, path)));
  }
}
