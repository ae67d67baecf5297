/** Packs the library as `npm pack` does, and installs the file for a program. */

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const LICENCES = ["LICENSE-APACHE", "LICENSE-MIT"];
export const TSC = join(ROOT, "tests/node_modules/.bin/tsc");
export const run = promisify(execFile);

/** @returns {Promise<{folder: string, remove: () => Promise<void>}>} a folder with the package installed in it */
export async function installPackage() {
  const folder = await mkdtemp(join(tmpdir(), "handclasp-package-"));
  // Packing creates files in the packed folder, so it runs in a copy of the source tree.
  await cp(join(ROOT, "web/lib"), join(folder, "web/lib"), { recursive: true });
  for (const beside of ["tests", ...LICENCES]) await symlink(join(ROOT, beside), join(folder, beside));
  await run("npm", ["pack", "--pack-destination", folder], { cwd: join(folder, "web/lib") });
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz")) ?? "";
  const installed = join(folder, "node_modules/handclasp");
  await mkdir(installed, { recursive: true });
  await run("tar", ["-xzf", join(folder, tarball), "-C", installed, "--strip-components=1"]);
  await writeFile(join(folder, "package.json"), '{"type": "module"}');
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}
