/** Which received files the page opens in a tab of its own origin, and which it hands to the share sheet. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { filesToShare, safeType, urlToOpen } from "../../web/app/open-file.js";

/** What the browser shows, as it says so itself. */
const browser = { pdfViewerEnabled: true, played: ["video/mp4"], decoded: /** @type {string[]} */ ([]) };
Object.defineProperty(globalThis, "navigator", { value: browser });
Object.assign(globalThis, {
  document: { createElement: () => ({ canPlayType: (type) => (browser.played.includes(type) ? "maybe" : "") }) },
  createImageBitmap: async ({ type }) => (browser.decoded.includes(type) ? { close() {} } : Promise.reject(new DOMException("cannot be decoded"))),
});

const saved = (name, content = "x") => ({ name, blob: new Blob([content], { type: "text/html" }) });

test("a file is opened as the type of its extension, and only as one that runs nothing", async () => {
  for (const [name, type] of [["a.png", "image/png"], ["A.JPG", "image/jpeg"], ["a.b.pdf", "application/pdf"], ["notes.txt", "text/plain;charset=utf-8"]]) {
    const url = await urlToOpen(saved(name));
    assert.ok(url, name);
    assert.equal((await (await fetch(url)).blob()).type, type);
    URL.revokeObjectURL(url);
  }
  for (const name of ["a.html", "a.htm", "a.xhtml", "a.svg", "a.xml", "a.js", "a.mhtml", "a.exe", "png", "a.png.", "a.png.html", "a.constructor", ""]) {
    assert.deepEqual([safeType(name), await urlToOpen(saved(name))], [null, null], name);
  }
});

test("a file is only opened by a browser that shows it, and does not download it a second time", async () => {
  const isOpened = async (name) => {
    const url = await urlToOpen(saved(name));
    if (url) URL.revokeObjectURL(url);
    return url !== null;
  };
  const names = ["a.pdf", "a.mp4", "a.mov", "a.heic"];
  assert.deepEqual(await Promise.all(names.map(isOpened)), [true, true, false, false]);
  Object.assign(browser, { pdfViewerEnabled: false, played: ["video/quicktime"], decoded: ["image/heic"] });
  assert.deepEqual(await Promise.all(names.map(isOpened)), [false, false, true, true]);
});

test("what this page does not hold, and an archive, is not opened", async () => {
  assert.equal(await urlToOpen({ name: "a.png", blob: null }), null);
  assert.equal(await urlToOpen({ ...saved("a.png"), members: [] }), null);
  assert.deepEqual(filesToShare({ name: "a.png", blob: null }), []);
});

test("the files of an archive are handed over one by one, many of them as the archive", () => {
  const entry = (name, isFolder) => ({ entry: { id: name, path: ["d", name], size: 1, type: "text/html", isFolder }, blob: new Blob(["x"]) });
  const archive = (members) => filesToShare({ ...saved("d.zip"), members }).map(({ name, type }) => [name, type]);
  assert.deepEqual(archive([entry("a.jpg"), entry("b.html"), entry("e", true)]), [["a.jpg", "image/jpeg"], ["b.html", "application/octet-stream"]]);
  assert.deepEqual(archive(Array.from({ length: 51 }, (_, index) => entry(`${index}.jpg`))), [["d.zip", "application/octet-stream"]]);
});
