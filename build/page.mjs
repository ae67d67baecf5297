/**
 * Bundles the web app into a folder: index.html, and the files that it loads below assets/, with a hash of their content
 * in their names. build.rs runs it: `node build/page.mjs FOLDER`. Vite is one of the packages of tests/.
 */

import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** @typedef {import("../tests/node_modules/vite/dist/node/index.js").Rollup.RollupOutput} RollupOutput */
/** @typedef {import("../tests/node_modules/vite/dist/node/index.js").Rollup.ManualChunkMeta} ModuleGraph */

const WEB = fileURLToPath(new URL("../web/", import.meta.url));
const MAIN = "app/main.js";
/** A classic script. */
const UNLOADED = "app/unloaded.js";
/** The views of which a visitor sees one. */
const VIEWS = ["app/share-view.js", "app/receive-view.js"];
/** The style sheets of the index page as one. */
const STYLE = "style/page.css";
const STYLE_LINKS = /( *<link rel="stylesheet" href="([^"]+)">\n)+/;
/** The browsers of web/docs/browsers.md. */
const BROWSERS = ["chrome111", "firefox115", "safari16.4"];

/** The exit code that tells build.rs that Vite cannot run on this machine. */
const UNABLE = 3;

const [folder] = process.argv.slice(2);
const index = await readFile(join(WEB, "index.html"), "utf8");
await writeFile(join(folder, "index.html"), bundledIndex(await bundle()));

async function bundle() {
  const vite = await loadVite();
  const output = await vite.build({
    configFile: false,
    envDir: false,
    publicDir: false,
    root: WEB,
    base: "./", // a proxy may serve the page below a path
    logLevel: "warn",
    css: { postcss: {} },
    esbuild: { charset: "utf8" },
    worker: { format: "es" },
    plugins: [{ name: "style", resolveId: (id) => (id === STYLE ? join(WEB, STYLE) : null), load: (id) => (id === join(WEB, STYLE) ? styleImports() : null) }],
    build: {
      outDir: folder,
      emptyOutDir: true,
      target: BROWSERS,
      assetsInlineLimit: 0, // the page's policy allows no fonts in data: URLs
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
      rollupOptions: {
        input: { main: join(WEB, MAIN), unloaded: join(WEB, UNLOADED), page: STYLE },
        output: { manualChunks: (id, graph) => (coreModules(graph).has(id) ? "core" : undefined) },
      },
    },
  });
  return /** @type {RollupOutput} */ (output).output;
}

/** @returns {Promise<typeof import("../tests/node_modules/vite/dist/node/index.js")>} */
async function loadVite() {
  const { resolve } = createRequire(new URL("../tests/package.json", import.meta.url));
  const { engines } = JSON.parse(await readFile(resolve("vite/package.json"), "utf8"));
  try {
    if (!isNodeFor(engines.node)) throw new Error(`Vite needs Node.js ${engines.node}, and this is ${process.version}`);
    return await import(pathToFileURL(resolve("vite")).href);
  } catch (error) {
    console.error(error);
    process.exit(UNABLE); // also if the packages were installed on another platform
  }
}

/** @param {string} range such as "^20.19.0 || >=22.12.0" */
function isNodeFor(range) {
  const [major, minor] = process.versions.node.split(".").map(Number);
  return range.split("||").some((part) => {
    const [fromMajor, fromMinor] = (part.match(/\d+/g) ?? []).map(Number);
    return major === fromMajor ? minor >= fromMinor : part.includes(">=") && major > fromMajor;
  });
}

function styleImports() {
  const links = index.match(STYLE_LINKS)?.[0] ?? "";
  return Array.from(links.matchAll(/href="([^"]+)"/g), ([, href]) => `@import "${join(WEB, href)}";`).join("\n");
}

/**
 * What the page needs whatever it shows: what main.js imports, and what both views import. main.js itself waits for a
 * view, so a file that views import cannot contain it.
 *
 * @param {ModuleGraph} graph
 */
function coreModules(graph) {
  const [main, share, receive] = [MAIN, ...VIEWS].map((path) => importsOf(join(WEB, path), graph));
  const core = new Set([...main, ...share].filter((id) => main.has(id) || receive.has(id)));
  core.delete(join(WEB, MAIN));
  return core;
}

/**
 * @param {string} id
 * @param {ModuleGraph} graph
 * @param {Set<string>} [found]
 * @returns {Set<string>} the module, and what it imports statically
 */
function importsOf(id, graph, found = new Set()) {
  if (found.has(id)) return found;
  found.add(id);
  for (const imported of graph.getModuleInfo(id)?.importedIds ?? []) importsOf(imported, graph, found);
  return found;
}

/** @param {RollupOutput["output"]} output */
function bundledIndex(output) {
  const chunk = (/** @type {string} */ path) => {
    const found = output.find((file) => file.type === "chunk" && file.facadeModuleId === join(WEB, path));
    if (found?.type !== "chunk") throw new Error(`${path} was not bundled`);
    return found;
  };
  const asset = (/** @type {(name: string) => boolean} */ is) => {
    const found = output.find((file) => file.type === "asset" && file.originalFileNames.concat(file.names).some(is));
    if (!found) throw new Error("a style sheet or font was not bundled");
    return found.fileName;
  };
  const main = chunk(MAIN);
  const unloaded = chunk(UNLOADED);
  if (unloaded.imports.length + unloaded.exports.length > 0) throw new Error(`${UNLOADED} is not a classic script`);
  const preloads = main.imports.map((file) => `  <link rel="modulepreload" href="${file}">\n`).join("");
  const replacements = /** @type {Array<[string | RegExp, string]>} */ ([
    [STYLE_LINKS, `  <link rel="stylesheet" href="${asset((name) => name === "page.css")}">\n${preloads}`],
    ['href="style/figtree.woff2"', `href="${asset((name) => name.endsWith("figtree.woff2"))}"`],
    [`src="${UNLOADED}"`, `src="${unloaded.fileName}"`],
    [`src="${MAIN}"`, `src="${main.fileName}"`],
  ]);
  return replacements.reduce((html, [from, to]) => {
    const changed = html.replace(from, to);
    if (changed === html) throw new Error(`index.html has no ${from}`);
    return changed;
  }, index);
}
