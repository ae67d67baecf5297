/** Which received files the page opens in a tab of its own origin, and which it hands to the share sheet. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { filesToShare, safeType, urlToOpen } from "../../web/app/open-file.js";

const saved = (name, content = "x") => ({ name, blob: new Blob([content], { type: "text/html" }) });

test("a file is opened as the type of its extension, and only as one that runs nothing", async () => {
  for (const [name, type] of [["a.png", "image/png"], ["A.JPG", "image/jpeg"], ["a.b.pdf", "application/pdf"], ["notes.txt", "text/plain;charset=utf-8"]]) {
    const url = urlToOpen(saved(name));
    assert.ok(url, name);
    assert.equal((await (await fetch(url)).blob()).type, type);
    URL.revokeObjectURL(url);
  }
  for (const name of ["a.html", "a.htm", "a.xhtml", "a.svg", "a.xml", "a.js", "a.mhtml", "a.exe", "png", "a.png.", "a.png.html", "a.constructor", ""]) {
    assert.deepEqual([safeType(name), urlToOpen(saved(name))], [null, null], name);
  }
});

test("what this page does not hold, and an archive, is not opened", () => {
  assert.equal(urlToOpen({ name: "a.png", blob: null }), null);
  assert.equal(urlToOpen({ ...saved("a.png"), members: [] }), null);
  assert.deepEqual(filesToShare({ name: "a.png", blob: null }), []);
});

test("the files of an archive are handed over one by one, many of them as the archive", () => {
  const entry = (name, isFolder) => ({ entry: { id: name, path: ["d", name], size: 1, type: "text/html", isFolder }, blob: new Blob(["x"]) });
  const archive = (members) => filesToShare({ ...saved("d.zip"), members }).map(({ name, type }) => [name, type]);
  assert.deepEqual(archive([entry("a.jpg"), entry("b.html"), entry("e", true)]), [["a.jpg", "image/jpeg"], ["b.html", "application/octet-stream"]]);
  assert.deepEqual(archive(Array.from({ length: 51 }, (_, index) => entry(`${index}.jpg`))), [["d.zip", "application/octet-stream"]]);
});
