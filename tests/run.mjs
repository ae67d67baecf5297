/**
 * Runs test files with real clients and browsers, two at a time: they wait more than they compute. A file that fails is run
 * once more at the end, alone: its programs share the machine's cores with the servers and the networks of the tests, and
 * one of them may be late. Both results are printed, and the last lines name each test that has failed.
 */

import { relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: node run.mjs FILE...");
  process.exit(2);
}

const failed = await runFiles(files, 2);
if (failed.size > 0) {
  const names = [...failed.keys()];
  console.log(`==> once more: ${names.join(" ")}`);
  const again = await runFiles(names, 1);
  for (const [file, tests] of failed) {
    const verdict = again.has(file) ? "FAILED twice" : "FAILED once, and passed when it ran again";
    console.log(`==> ${verdict}: ${file} (${tests.join("; ")})`);
  }
  process.exitCode = again.size > 0 ? 1 : 0;
}

/**
 * @param {string[]} paths
 * @param {number} concurrency how many at a time
 * @returns {Promise<Map<string, string[]>>} the failed files, with the names of their failed tests
 */
async function runFiles(paths, concurrency) {
  /** @type {Map<string, string[]>} */
  const failures = new Map();
  const events = run({ files: paths, concurrency });
  events.on("test:fail", ({ name, file, todo }) => {
    if (todo) return;
    const path = relative(process.cwd(), file ?? name);
    failures.set(path, [...(failures.get(path) ?? []), name]);
  });
  const report = events.compose(new spec());
  report.pipe(process.stdout);
  await new Promise((resolve, reject) => report.on("end", resolve).on("error", reject));
  return failures;
}
