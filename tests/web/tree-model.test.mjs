/** The tree of folders that a list of files is shown as, and the kinds of its icons. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileKind } from "../../web/app/file-kind.js";
import { TreeModel } from "../../web/app/tree-model.js";
import { stableKeys } from "../../web/lib/share/file-entry.js";
import { sanitizeList } from "../../web/lib/share/file-list.js";

/** @param {string[]} paths */
const entries = (...paths) => paths.map((path, index) => ({ id: String(index), path: path.split("/"), size: 1, type: "" }));

/** @param {TreeModel} tree */
const shown = (tree) => tree.rows.map(({ name, level }) => `${"  ".repeat(level - 1)}${name}`);

test("folders stand where their first file does, with all their files below them", () => {
  const tree = new TreeModel();
  tree.show(entries("a.txt", "trip/day 1/b.txt", "c.txt", "trip/d.txt", "trip/day 1/e.txt"));
  assert.deepEqual(shown(tree), ["a.txt", "trip", "  day 1", "    b.txt", "    e.txt", "  d.txt", "c.txt"]);
  const [, trip, day] = tree.rows;
  assert.deepEqual([trip.entries.length, day.entries.length, day.parent, day.path], [3, 2, trip, "trip/day 1"]);
  assert.deepEqual(tree.rows.map(({ position }) => position), [1, 2, 1, 1, 2, 2, 3]);
  assert.equal(tree.siblingsOf(trip).length, 3);
});

test("a folder stays folded when the list changes, and is open when it comes back", () => {
  const tree = new TreeModel();
  tree.show(entries("trip/a.txt", "b.txt"));
  tree.fold(tree.rows[0], true);
  assert.deepEqual(shown(tree), ["trip", "b.txt"]);
  tree.show(entries("trip/a.txt", "b.txt", "c.txt"));
  assert.deepEqual(shown(tree), ["trip", "b.txt", "c.txt"]);
  tree.show(entries("b.txt"));
  tree.show(entries("trip/a.txt"));
  assert.deepEqual(shown(tree), ["trip", "  a.txt"]);
});

test("a file and a folder of the same name are two rows", () => {
  const tree = new TreeModel();
  tree.show(entries("a", "a/a", "__proto__/constructor"));
  assert.deepEqual(shown(tree), ["a", "a", "  a", "__proto__", "  constructor"]);
  assert.equal(new Set(tree.rows.map(({ key }) => key)).size, 5);
});

test("a file has the same key in each list of a share, whatever its id and its safe name are, and two alike have two", () => {
  const [upper, lower, other] = ["A.txt", "a.txt", "b.txt"].map((path) => ({ path: [path], size: 1, type: "" }));
  const list = (/** @type {Array<typeof upper>} */ ...files) => sanitizeList(files.map((file, index) => ({ ...file, id: String(index) })));
  const [first, second, third, twin] = stableKeys(list(lower, upper, other, other));
  assert.equal(new Set([first, second, third, twin]).size, 4);
  // Without "a.txt", "A (2).txt" is "A.txt".
  assert.deepEqual(list(lower, upper)[1].path, ["A (2).txt"]);
  assert.deepEqual(stableKeys(list(other, upper)), [third, second]);
  assert.notEqual(stableKeys(list({ ...lower, size: 2 }))[0], first);
});

test("a list of the largest size is built at once", () => {
  const tree = new TreeModel();
  tree.show(entries(...Array.from({ length: 10_000 }, (_, index) => `folder ${index % 100}/${index}`)));
  assert.equal(tree.rows.length, 10_100);
});

test("a list of deep folders has no more rows than three for each file, and every file is in it", () => {
  const tree = new TreeModel();
  tree.show(entries(...Array.from({ length: 10_000 }, (_, file) => Array.from({ length: 32 }, (_, depth) => `${file}-${depth}`).join("/"))));
  assert.equal(tree.rows.length, 30_000);
  const files = tree.rows.filter(({ children }) => !children);
  assert.deepEqual([files.length, files[0].name, files.at(-1)?.name.split("/").length], [10_000, "0-31", 32]);
});

test("a file's name tells its kind, or else its type", () => {
  const kind = (/** @type {string} */ name, type = "") => fileKind({ path: ["folder", name], type });
  assert.deepEqual(
    ["a.JPG", "b.mkv", "c.flac", "d.tar.gz", "e.pdf", "f.rs", "g", "h.unknown", "constructor"].map((name) => kind(name)),
    ["image", "video", "audio", "archive", "document", "code", "other", "other", "other"],
  );
  assert.deepEqual([kind("i", "video/x"), kind("j", "text/x"), kind("k.png", "text/plain")], ["video", "document", "image"]);
  assert.equal(fileKind({ path: ["empty"], type: "", isFolder: true }), "folder");
});
