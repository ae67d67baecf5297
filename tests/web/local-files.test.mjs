/** The files that the command shares: an entry that cannot be shared is left out and named, and the others are shared. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { findFiles } from "../../web/lib/cli/local-files.js";

const NOBODY = 65_534;
/** ISO-8859-1, as on an old disk. */
const LATIN1 = Buffer.from([0x63, 0x61, 0x66, 0xe9]);

let folder;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "handclasp-files-"));
  await chmod(folder, 0o755);
  await writeFile(join(folder, "good.txt"), "good");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** @param {string[]} [paths] */
async function found(paths = [folder]) {
  const { files, leftOut } = await findFiles(paths);
  return { files: files.map(({ path }) => path.slice(1).join("/")), leftOut: leftOut.map(({ path, cause }) => `${basename(path)}: ${cause}`) };
}

/**
 * Runs as a user whom permissions concern: root may read everything.
 *
 * @template T
 * @param {() => Promise<T>} work
 */
async function unprivileged(work) {
  const user = process.geteuid?.() ?? NOBODY;
  if (user === 0) process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    if (user === 0) process.seteuid?.(0);
  }
}

test("a file and a folder without the permission to read them are left out", async () => {
  await writeFile(join(folder, "locked.txt"), "");
  await mkdir(join(folder, "locked"));
  for (const name of ["locked.txt", "locked"]) await chmod(join(folder, name), 0);
  const cause = "you have no permission to read it";
  assert.deepEqual(await unprivileged(() => found()), { files: ["good.txt"], leftOut: [`locked: ${cause}`, `locked.txt: ${cause}`] });
  assert.deepEqual(await unprivileged(() => found([join(folder, "locked.txt")])), { files: [], leftOut: [`locked.txt: ${cause}`] });
});

test("a name that is not UTF-8 is left out, and shown as well as it can be", async () => {
  await writeFile(Buffer.concat([Buffer.from(`${folder}/`), LATIN1]), "");
  assert.deepEqual(await found(), { files: ["good.txt"], leftOut: ["caf\ufffd: its name is not UTF-8"] });
  assert.deepEqual(await found([join(folder, "caf\ufffd"), folder]), {
    files: ["good.txt"],
    leftOut: ["caf\ufffd: its name is not UTF-8", "caf\ufffd: its name is not UTF-8"],
  });
});

test("symbolic links and pipes in a folder are left out; a symbolic link that the user names is followed", async () => {
  await symlink("good.txt", join(folder, "link"));
  await symlink("nothing", join(folder, "nowhere"));
  execFileSync("mkfifo", [join(folder, "pipe")]);
  assert.deepEqual(await found(), { files: ["good.txt"], leftOut: ["link: a symbolic link", "nowhere: a symbolic link", "pipe: neither a file nor a folder"] });
  assert.equal((await findFiles([join(folder, "link")])).files.length, 1);
  await assert.rejects(findFiles([join(folder, "nowhere")]), /no such file or folder/);
});

test("a folder whose path is too long is left out", async () => {
  const start = process.cwd();
  process.chdir(folder);
  try {
    for (let depth = 0; depth < 20; depth++) {
      await mkdir("d".repeat(250));
      process.chdir("d".repeat(250));
    }
  } finally {
    process.chdir(start);
  }
  const { files, leftOut } = await found();
  assert.deepEqual(files, ["good.txt"]);
  assert.match(leftOut.join(), /^d+: its path is too long$/);
  execFileSync("rm", ["-rf", folder]); // its paths are too long for Node.js
});
