/** The texts of the app: each language has all of them, with the same placeholders, and the page uses each one. */

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { supportedLanguage } from "../../web/app/i18n.js";

const APP = new URL("../../web/app/", import.meta.url);

/** @param {string} name */
const texts = async (name) => (await import(new URL(`locales/${name}`, APP).href)).default;
const names = (await readdir(new URL("locales/", APP))).filter((name) => name.endsWith(".js"));
const english = await texts("en.js");

/** @param {string} text */
const placeholders = (text) => [...new Set(text.match(/\{\d\}/g))].sort();

test("the languages are these nine", () => {
  const tags = names.map((name) => name.replace(".js", "")).sort();
  assert.deepEqual(tags, ["de", "en", "es", "fr", "ja", "ko", "pt", "zh-Hans", "zh-Hant"]);
  for (const tag of tags) assert.equal(supportedLanguage([tag]), tag);
});

for (const [preferred, language] of /** @type {const} */ ([
  [["zh-TW"], "zh-Hant"], [["zh-HK"], "zh-Hant"], [["zh-MO"], "zh-Hant"], [["zh-Hant-HK"], "zh-Hant"],
  [["zh"], "zh-Hans"], [["zh-CN"], "zh-Hans"], [["zh-SG"], "zh-Hans"], [["zh-Hans-HK"], "zh-Hans"],
  [["pt-BR"], "pt"], [["pt-PT"], "pt"], [["sr-RS", "de-AT", "en"], "de"],
  [["sr"], "en"], [[], "en"], [["constructor"], "en"], [["en-US@posix"], "en"], [["__proto__", "", "ko-KR"], "ko"],
])) {
  test(`a browser that prefers [${preferred}] gets ${language}`, () => {
    assert.equal(supportedLanguage(preferred), language);
  });
}

for (const name of names) {
  test(`${name} has every text, with the same placeholders`, async () => {
    const translated = await texts(name);
    assert.deepEqual(Object.keys(translated).sort(), Object.keys(english).sort());
    for (const [key, text] of Object.entries(english)) {
      assert.notEqual(translated[key].trim(), "", key);
      assert.deepEqual(placeholders(translated[key]), placeholders(text), key);
    }
  });
}

test("the page uses every text", async () => {
  const files = (await readdir(APP)).filter((name) => name.endsWith(".js"));
  const sources = await Promise.all([...files.map((name) => new URL(name, APP)), new URL("../index.html", APP)].map((url) => readFile(url, "utf8")));
  const source = sources.join("\n");
  // The last part of these is computed: of a reason, a state, or what ICE found.
  const isComputed = (/** @type {string} */ key) => /^(fail|path|state|row)\./.test(key);
  assert.deepEqual(Object.keys(english).filter((key) => !isComputed(key) && !source.includes(`"${key}"`)), []);
});
