/** Files and folders as people hand them over: dropped, pasted or picked, with their paths. */

/** @typedef {{file: File, path: string[]}} Offer */

/**
 * Takes what is dropped or pasted anywhere on the page, and what the inputs pick.
 *
 * @param {HTMLInputElement[]} inputs
 * @param {(offers: Offer[]) => void} take
 */
export function acceptFiles(inputs, take) {
  const { classList } = document.body;
  addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser would open the file in place of the page
    classList.add("dragging");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? classList.remove("dragging"));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    classList.remove("dragging");
    if (event.dataTransfer) take(await filesOf(event.dataTransfer));
  });
  addEventListener("paste", async (event) => {
    if (event.clipboardData?.files.length) take(await filesOf(event.clipboardData));
  });
  for (const input of inputs) {
    input.addEventListener("change", () => {
      take(Array.from(input.files ?? [], (file) => ({ file, path: pathOf(file) })));
      input.value = ""; // so that the same file can be picked again after it was removed
    });
  }
}

/** @param {File} file */
function pathOf(file) {
  return file.webkitRelativePath ? file.webkitRelativePath.split("/") : [file.name];
}

/** @param {DataTransfer} data */
async function filesOf(data) {
  // The list is empty after the first wait, so all entries are taken before it.
  const entries = Array.from(data.items, (item) => item.webkitGetAsEntry?.()).filter((entry) => !!entry);
  if (entries.length === 0) return Array.from(data.files, (file) => ({ file, path: [file.name] }));
  const found = [];
  for (const entry of entries) found.push(...(await walk(entry, [])));
  return found;
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
