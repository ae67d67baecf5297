/** The command's download folder: nothing is written outside of it, whatever it contains. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { lstat, mkdir, mkdtemp, readFile, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { DirectoryTarget } from "../../web/lib/cli/directory-target.js";

let base, root, elsewhere;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "handclasp-target-"));
  [root, elsewhere] = [join(base, "root"), join(base, "elsewhere")];
  await mkdir(root);
  await mkdir(elsewhere);
});
afterEach(() => rm(base, { recursive: true, force: true }));

const CONTENT = Buffer.from("hello");
const entryOf = (...path) => ({ id: "1", path, size: CONTENT.length, type: "" });

async function store(entry, between = async () => {}) {
  const target = new DirectoryTarget(root, "scope");
  try {
    const sink = await target.open(entry);
    await sink.write(0, CONTENT);
    await sink.close();
    await between();
    return (await target.finish([entry]))[0].name;
  } finally {
    await target.abort();
  }
}

/** The name of the file while it is incomplete. */
async function partName(entry) {
  const target = new DirectoryTarget(root, "scope");
  await target.open(entry);
  await target.abort();
  const [name] = (await readdir(root)).filter((name) => name.endsWith(".part"));
  await rm(join(root, name));
  return name;
}

const refusal = { name: "TransferError", reason: "storage", message: /is a symbolic link/ };

test("a file is stored in new folders", async () => {
  const name = await store(entryOf("a", "b", "c.txt"));
  assert.equal(name, join(root, "a/b/c.txt"));
  assert.deepEqual(await readFile(name), CONTENT);
});

for (const path of [["photos", "x.txt"], ["photos", "deep", "x.txt"], ["real", "photos", "x.txt"]]) {
  test(`${path.join("/")} is not written through the symbolic link photos`, async () => {
    const at = path.indexOf("photos");
    await mkdir(join(root, ...path.slice(0, at)), { recursive: true });
    await symlink(elsewhere, join(root, ...path.slice(0, at), "photos"));
    await assert.rejects(store(entryOf(...path)), refusal);
    assert.deepEqual(await readdir(elsewhere), []);
  });
}

test("a symbolic link that leads to the folder itself is refused too", async () => {
  await symlink(".", join(root, "here"));
  await assert.rejects(store(entryOf("here", "x.txt")), refusal);
});

test("a file continues from what an ended process has left, and not from what a running one writes", async () => {
  const entry = entryOf("a", "x.txt");
  const own = `${process.pid}.part`;
  const first = new DirectoryTarget(root, "scope");
  await (await first.open(entry)).write(0, CONTENT);
  await first.abort();
  const [name] = await readdir(join(root, "a"));
  assert.ok(name.endsWith(`-${own}`), name);
  const ended = spawn("true");
  await once(ended, "exit");
  for (const [pid, storedBytes] of [[process.ppid, 0], [ended.pid, CONTENT.length]]) {
    await rename(join(root, "a", name), join(root, "a", name.replace(own, `${pid}.part`)));
    const target = new DirectoryTarget(root, "scope");
    const sink = await target.open(entry);
    assert.equal(sink.storedBytes, storedBytes);
    await target.abort();
    if (storedBytes > 0) assert.deepEqual(await readdir(join(root, "a")), [name]);
    else await rename(join(root, "a", name.replace(own, `${pid}.part`)), join(root, "a", name));
  }
});

test("an incomplete file that is a symbolic link is not written", async () => {
  const entry = entryOf("x.txt");
  const name = await partName(entry);
  await writeFile(join(elsewhere, "victim"), "untouched");
  await symlink(join(elsewhere, "victim"), join(root, name));
  await assert.rejects(store(entry), refusal);
  assert.equal(await readFile(join(elsewhere, "victim"), "utf8"), "untouched");
});

test("an incomplete file that is a symbolic link to nothing creates nothing", async () => {
  const entry = entryOf("x.txt");
  await symlink(join(elsewhere, "new"), join(root, await partName(entry)));
  await assert.rejects(store(entry), refusal);
  assert.deepEqual(await readdir(elsewhere), []);
});

test("an incomplete file that is a pipe is refused without waiting", async () => {
  const entry = entryOf("x.txt");
  execFileSync("mkfifo", [join(root, await partName(entry))]);
  await assert.rejects(store(entry), { reason: "storage", message: /is not a regular file/ });
});

test("a folder that becomes a symbolic link during the download gets no file", async () => {
  const between = async () => {
    await rename(join(root, "photos"), join(elsewhere, "photos"));
    await symlink(join(elsewhere, "photos"), join(root, "photos"));
  };
  await assert.rejects(store(entryOf("photos", "x.txt"), between), refusal);
  assert.ok((await readdir(join(elsewhere, "photos"))).every((name) => name.endsWith(".part")));
});

test("a symbolic link with the name of the file is kept, and the file gets another name", async () => {
  await symlink(join(elsewhere, "victim"), join(root, "x.txt"));
  assert.equal(await store(entryOf("x.txt")), join(root, "x (2).txt"));
  assert.ok((await lstat(join(root, "x.txt"))).isSymbolicLink());
  assert.deepEqual(await readdir(elsewhere), []);
});

test("the download folder itself may be a symbolic link", async () => {
  const chosen = join(base, "chosen");
  await symlink(elsewhere, chosen);
  root = chosen;
  await store(entryOf("a", "x.txt"));
  assert.deepEqual(await readdir(join(elsewhere, "a")), ["x.txt"]);
});

test("a file in the place of a folder is reported", async () => {
  await writeFile(join(root, "a"), "");
  await assert.rejects(store(entryOf("a", "x.txt")), { reason: "storage", message: /a is not a folder/ });
});

/** Stores small files together, and returns what was stored before. */
async function storeBatch(entries, { isFinished = true } = {}) {
  const target = new DirectoryTarget(root, "scope");
  const stored = await target.readBatch(entries);
  await target.writeBatch(entries.map((entry, at) => ({ entry, bytes: stored[at] ?? CONTENT, isStored: stored[at] !== null })));
  if (isFinished) await target.finish(entries);
  await target.abort();
  return { stored, target };
}

test("small files are stored together, and a later download finds those that are complete", async () => {
  const entries = Array.from({ length: 40 }, (_, at) => ({ ...entryOf("a", `${at}.txt`), id: String(at) }));
  await storeBatch(entries.slice(0, 30), { isFinished: false });
  const [cut] = (await readdir(join(root, "a"))).filter((name) => name.startsWith("7.txt"));
  await writeFile(join(root, "a", cut), "he");
  const { stored, target } = await storeBatch(entries);
  assert.deepEqual(stored.map((bytes, at) => bytes !== null && at), [...Array.from({ length: 30 }, (_, at) => at !== 7 && at), ...Array(10).fill(false)]);
  assert.equal(target.reusedBytes, 29 * CONTENT.length);
  assert.deepEqual((await readdir(join(root, "a"))).sort(), entries.map(({ path }) => path[1]).sort());
  for (const { path } of entries) assert.deepEqual(await readFile(join(root, ...path)), CONTENT);
});

test("an empty folder is created, also beside files, and not through a symbolic link", async () => {
  const folder = (...path) => ({ ...entryOf(...path), id: path.join(), size: 0, isFolder: true });
  await storeBatch([folder("a", "b"), entryOf("a", "c.txt"), folder("d")]);
  assert.deepEqual((await readdir(root, { recursive: true })).sort(), ["a", "a/b", "a/c.txt", "d"]);
  await symlink(elsewhere, join(root, "photos"));
  await assert.rejects(storeBatch([folder("photos", "new")]), refusal);
  assert.deepEqual(await readdir(elsewhere), []);
});

test("small files are not written through a symbolic link either", async () => {
  await symlink(elsewhere, join(root, "photos"));
  await assert.rejects(storeBatch([entryOf("photos", "x.txt")]), refusal);
  const entry = entryOf("x.txt");
  await symlink(join(elsewhere, "victim"), join(root, await partName(entry)));
  await assert.rejects(storeBatch([entry]), refusal);
  assert.deepEqual(await readdir(elsewhere), []);
});
