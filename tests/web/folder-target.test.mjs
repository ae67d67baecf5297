/** The folder that a user has picked: nothing is overwritten, and each folder is listed once. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FolderTarget } from "../../web/lib/share/targets/folder-target.js";

const failure = (name) => Object.assign(new Error(name), { name });

/** As much of a FileSystemDirectoryHandle as the target uses. */
class FakeFolder {
  children = new Map();
  listed = 0;
  async *keys() {
    this.listed += 1;
    yield* this.children.keys();
  }
  async getDirectoryHandle(name) {
    if (!this.children.has(name)) this.children.set(name, new FakeFolder());
    return this.children.get(name);
  }
  async getFileHandle(name, { create = false } = {}) {
    const child = this.children.get(name);
    if (child instanceof FakeFolder) throw failure("TypeMismatchError");
    if (!child && !create) throw failure("NotFoundError");
    this.children.set(name, "file");
    return { createWritable: async () => ({ write: async () => {}, close: async () => {}, abort: async () => {} }) };
  }
  async removeEntry(name) {
    this.children.delete(name);
  }
}

const small = (entry) => ({ entry, bytes: new Uint8Array(1), isStored: false });
const entryOf = (id, ...path) => ({ id: String(id), path, size: 0, type: "" });

test("2,000 files in one folder list it once", async () => {
  const root = new FakeFolder();
  const target = new FolderTarget(root);
  for (let id = 0; id < 2_000; id++) await target.open(entryOf(id, `${id}.txt`));
  assert.deepEqual([root.children.size, root.listed], [2_000, 1]);
});

test("existing names are not used, in upper or lower case, also those of folders and of files that appear later", async () => {
  const root = new FakeFolder();
  root.children.set("A.txt", "file");
  await root.getDirectoryHandle("b.txt");
  const target = new FolderTarget(root);
  await target.open(entryOf(1, "a.txt"));
  await target.open(entryOf(2, "b.txt"));
  root.children.set("late.txt", "file");
  await target.open(entryOf(3, "late.txt"));
  assert.deepEqual([...root.children.keys()], ["A.txt", "b.txt", "a (2).txt", "b (2).txt", "late.txt", "late (2).txt"]);
});

test("the small files of a batch, which are written at the same time, get different names and list the folder once", async () => {
  const root = new FakeFolder();
  root.children.set("a.txt", "file");
  await new FolderTarget(root).writeBatch([small(entryOf(1, "a.txt")), small(entryOf(2, "a (2).txt")), { ...small(entryOf(3, "failed.txt")), bytes: null }]);
  assert.deepEqual([[...root.children.keys()], root.listed], [["a.txt", "a (2).txt", "a (2) (2).txt"], 1]);
});

test("an empty folder is created", async () => {
  const root = new FakeFolder();
  await new FolderTarget(root).writeBatch([small({ ...entryOf(1, "a", "b"), isFolder: true })]);
  assert.deepEqual([...root.children.get("a").children.get("b").children], []);
});

test("a download that fails leaves the complete files in the folder, and removes the others", async () => {
  const root = new FakeFolder();
  const target = new FolderTarget(root);
  const entries = ["complete.txt", "half.txt"].map((name, id) => entryOf(id, name));
  for (const entry of entries) await target.open(entry);
  await target.abort({ keep: true, complete: entries.slice(0, 1) });
  assert.deepEqual([...root.children.keys()], ["complete.txt"]);
});
