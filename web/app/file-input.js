/** Files and folders as people hand them over: dropped, pasted or picked, with their paths. */

/** @typedef {{file: File, path: string[]}} Offer */
/** @typedef {import("./file-handles.js").Handle} Handle */
/** @typedef {{offers: Offer[], handles: Handle[]}} Found `handles` lead to the same files after a reload, where there are any */

/**
 * Takes what is dropped or pasted anywhere on the page, and what the inputs pick.
 *
 * @param {HTMLInputElement[]} inputs
 * @param {(finding: Promise<Found>) => void} take
 */
export function acceptFiles(inputs, take) {
  const { classList } = document.body;
  addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser would open the file in place of the page
    classList.add("dragging");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? classList.remove("dragging"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    classList.remove("dragging");
    if (event.dataTransfer) take(filesOf(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) take(filesOf(event.clipboardData));
  });
  for (const input of inputs) {
    input.addEventListener("change", () => {
      const offers = Array.from(input.files ?? [], (file) => ({ file, path: pathOf(file) }));
      take(Promise.resolve({ offers, handles: [] }));
      input.value = ""; // so that the same file can be picked again after it was removed
    });
    // What is picked so comes back after a reload. Not for folders: some, that of all
    // downloads among them, this picker refuses to open.
    if ("showOpenFilePicker" in globalThis && !input.webkitdirectory) {
      input.addEventListener("click", (event) => {
        event.preventDefault();
        take(picked());
      });
    }
  }
}

/** @returns {Promise<Found>} */
async function picked() {
  try {
    /** @type {Array<Handle & FileSystemFileHandle>} */
    const handles = await /** @type {any} */ (globalThis).showOpenFilePicker({ multiple: true });
    const offers = handles.map(async (handle) => ({ file: await handle.getFile(), path: [handle.name] }));
    return { offers: await Promise.all(offers), handles };
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") return { offers: [], handles: [] }; // closed again
    throw error;
  }
}

/** @param {File} file */
function pathOf(file) {
  return file.webkitRelativePath ? file.webkitRelativePath.split("/") : [file.name];
}

/**
 * @param {DataTransfer} data
 * @returns {Promise<Found>}
 */
async function filesOf(data) {
  // The list is empty after the first wait, so everything is taken out of it before.
  const entries = Array.from(data.items, (item) => item.webkitGetAsEntry?.()).filter((entry) => !!entry);
  const files = Array.from(data.files, (file) => ({ file, path: [file.name] }));
  const handles = Array.from(data.items, (item) => /** @type {any} */ (item).getAsFileSystemHandle?.());
  const offers = [];
  for (const entry of entries) offers.push(...(await walk(entry, [])));
  const kept = await Promise.allSettled(handles);
  return {
    offers: entries.length > 0 ? offers : files,
    handles: kept.flatMap((one) => (one.status === "fulfilled" && one.value ? [one.value] : [])),
  };
}

/**
 * @param {FileSystemEntry} entry
 * @param {string[]} folder
 * @returns {Promise<Offer[]>}
 */
async function walk(entry, folder) {
  const path = [...folder, entry.name];
  if (entry.isFile) {
    const fileEntry = /** @type {FileSystemFileEntry} */ (entry);
    return [{ file: await new Promise((resolve, reject) => fileEntry.file(resolve, reject)), path }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    // Browsers give a hundred at a time, and none at the end.
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return found;
    for (const inner of entries) found.push(...(await walk(inner, path)));
  }
}
