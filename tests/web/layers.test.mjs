/**
 * The layers of the library and the page. The test reads all imports of the folder `web`: static, dynamic,
 * of types in JSDoc comments, and of workers by URL. It fails on a cycle of files, and on an import from a
 * higher layer.
 */

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("../../web", import.meta.url));

/** From the lowest to the highest: a file imports only from its own layer and from lower ones. */
const LAYERS = [
  ...["util", "channels", "rtc", "rtc/pool", "share", "share/targets", "share/quick", "cli"].map((folder) => `lib/${folder}`),
  ...["app/locales", "app", "dev", "examples", "."],
];

/** The entry points of the package, which are directly above these layers. */
const ENTRY_POINTS = { "lib/index.js": "lib/channels", "lib/rtc/index.js": "lib/rtc/pool", "lib/share/index.js": "lib/share/quick" };

const IMPORTS = [
  /^(?:import|export)\b[^;"']*?\bfrom\s*["']([^"']+)["']/gm,
  /^import\s*["']([^"']+)["']/gm,
  /\bimport\(\s*["']([^"']+)["']\s*\)/g, // dynamic, and of types in JSDoc
  /\bnew URL\(\s*["'](\.[^"']+)["'],\s*import\.meta\.url\s*\)/g,
];

/** @returns {Promise<Map<string, string[]>>} the files of the folder, and which of them each one imports */
async function readImports() {
  const names = (await readdir(WEB, { recursive: true })).filter((name) => name.endsWith(".js"));
  const files = names.map(async (name) => /** @type {const} */ ([name, importsOf(name, await readFile(join(WEB, name), "utf8"))]));
  return new Map(await Promise.all(files));
}

/**
 * @param {string} file
 * @param {string} source
 */
function importsOf(file, source) {
  const specifiers = IMPORTS.flatMap((pattern) => Array.from(source.matchAll(pattern), ([, specifier]) => specifier));
  const local = specifiers.filter((specifier) => specifier.startsWith("."));
  return [...new Set(local.map((specifier) => relative(WEB, join(WEB, dirname(file), specifier))))];
}

/** @param {string} file */
function layerOf(file) {
  return file in ENTRY_POINTS ? LAYERS.indexOf(ENTRY_POINTS[file]) + 0.5 : LAYERS.indexOf(dirname(file));
}

/**
 * @param {Map<string, string[]>} imports
 * @returns {string[] | null} the files of a cycle
 */
function findCycle(imports) {
  const done = new Set();
  /** @type {(file: string, path: string[]) => string[] | null} */
  const visit = (file, path) => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    for (const imported of imports.get(file) ?? []) {
      const cycle = visit(imported, [...path, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return null;
  };
  for (const file of imports.keys()) {
    const cycle = visit(file, []);
    if (cycle) return cycle;
  }
  return null;
}

const imports = await readImports();

test("every file belongs to a layer, and every import leads to a file", () => {
  for (const [file, imported] of imports) {
    assert.ok(layerOf(file) >= 0, `${file} is in no layer`);
    for (const other of imported) assert.ok(imports.has(other), `${file} imports ${other}, which does not exist`);
  }
});

test("no files import each other in a cycle, not even for types", () => {
  assert.equal(findCycle(imports)?.join(" -> "), undefined);
});

test("no file imports from a higher layer", () => {
  const upward = Array.from(imports).flatMap(([file, imported]) => {
    return imported.filter((other) => layerOf(other) > layerOf(file)).map((other) => `${file} -> ${other}`);
  });
  assert.deepEqual(upward, []);
});

test("the test finds cycles and all forms of imports", () => {
  assert.equal(findCycle(new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b"]]]))?.join(" "), "b c b");
  const source = [
    'import { a } from "./a.js";',
    "import {\n  b,\n} from './b.js';",
    'import "./c.js";',
    'export * from "./d.js";',
    '/** @param {import("./e.js").E} e */',
    'const f = await import("./f.js");',
    'new Worker(new URL("./g.js", import.meta.url));',
    'import { join } from "node:path";',
  ].join("\n");
  assert.deepEqual(importsOf("x.js", source).sort(), ["a.js", "b.js", "c.js", "d.js", "e.js", "f.js", "g.js"]);
});
