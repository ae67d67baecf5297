/** Every error of the library and every refusal of the server has a text in the app, and none is shown as it is. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { errorKey, remedyOf, technicalText } from "../../web/app/error-key.js";
import en from "../../web/app/locales/en.js";
import { RefusedError } from "../../web/lib/channels/errors.js";
import { HandclaspError } from "../../web/lib/util/errors.js";

const read = (/** @type {string} */ path) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");
const UNKNOWN = "fail.other";

/** @returns {Promise<string[]>} the reasons that the comments of the library's error classes list */
async function reasonsOfLibrary() {
  const sources = await Promise.all(["channels", "rtc", "share", "util"].map((part) => read(`web/lib/${part}/errors.js`)));
  const listed = sources.flatMap((source) => [...source.matchAll(/`reason` is one of:([^]*?)\*\//g)].flatMap(([, list]) => list.match(/`[a-z_]+`/g) ?? []));
  const written = sources.flatMap((source) => source.match(/super\("([a-z_]+)"/g) ?? []);
  return [...listed, ...written].map((text) => /[a-z_]{3,}/.exec(text.replace("super", ""))?.[0] ?? "");
}

/** @returns {Promise<string[]>} the reasons in a server's replies that web/docs/refusals.md lists */
async function reasonsOfServer() {
  const section = /## Reasons in replies([^]*?)\n## /.exec(await read("web/docs/refusals.md"))?.[1] ?? "";
  const cells = [...section.matchAll(/^\| (`[^|]*`) \|/gm)].map(([, cell]) => cell);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, reason]) => reason));
}

for (const [part, list, least] of /** @type {const} */ ([["library", await reasonsOfLibrary(), 30], ["server", await reasonsOfServer(), 12]])) {
  test(`every reason of the ${part} has a text`, () => {
    assert.ok(list.length >= least, `only ${list.length} reasons were found: ${list.join(", ")}`);
    const unknown = list.filter((reason) => errorKey(new HandclaspError(reason, "as the test wants"), en) === UNKNOWN);
    assert.deepEqual(unknown, []);
  });
}

test("a server's channel that stopped is not a stopped download", () => {
  assert.equal(errorKey(new RefusedError("join", { reason: "stopped" }), en), "fail.server_busy");
  assert.equal(errorKey(new HandclaspError("stopped", "worker"), en), "fail.stopped");
});

test("a module that cannot be loaded is recognized in each browser, and only a reload helps", () => {
  for (const message of [
    "Failed to fetch dynamically imported module: https://example.org/app/a.js", // Chromium
    "error loading dynamically imported module: https://example.org/app/a.js", // Firefox
    "Importing a module script failed.", // Safari
  ]) {
    assert.equal(errorKey(new TypeError(message), en), "fail.load");
  }
  assert.equal(remedyOf("fail.load"), "reload");
});

test("any other error has a text too, and its message is for those who ask for it", () => {
  for (const error of [new TypeError("x is undefined"), new Error("boom"), "boom", undefined, new HandclaspError("new", "reason")]) {
    assert.equal(errorKey(error, en), UNKNOWN);
  }
  assert.equal(technicalText(new Error("a", { cause: new TypeError("b") })), "Error: a (TypeError: b)");
});

test("no text of an error shows a message of the code", () => {
  // locales.test.mjs compares the placeholders of the other languages with these.
  for (const [key, text] of Object.entries(en)) if (key.startsWith("fail.")) assert.doesNotMatch(text, /\{\d\}/, key);
});
