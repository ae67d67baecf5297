/** Makes the types of the npm package: npm runs it in the folder of the library before it packs it. */

import { execFileSync } from "node:child_process";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const TSC = fileURLToPath(new URL("../node_modules/.bin/tsc", import.meta.url));
const PLATFORM = fileURLToPath(new URL("platform.d.ts", import.meta.url));
/** The entry points, and the way from each to the folder of the types. */
const ENTRY_POINTS = { index: ".", "rtc/index": "..", "share/index": "..", "cli/node-webrtc": ".." };
const FLAGS =
  "--allowJs --strict --stripInternal --rootDir . --declaration --emitDeclarationOnly --outDir types --target es2023 --module esnext --moduleResolution bundler --lib es2023,dom,dom.iterable,dom.asynciterable --types";

const sources = Object.keys(ENTRY_POINTS).map((name) => `${name}.js`);
execFileSync(TSC, [...sources, ...FLAGS.split(" "), ""], { stdio: "inherit" });
await copyFile(PLATFORM, "types/platform.d.ts");
for (const [name, up] of Object.entries(ENTRY_POINTS)) {
  const file = `types/${name}.d.ts`;
  await writeFile(file, `/// <reference path="${up}/platform.d.ts" />\n${await readFile(file, "utf8")}`);
}
