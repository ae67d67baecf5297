/** Unsafe file names are sanitized, and safe ones do not change. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { sanitizeFilename } from "../../web/lib/share/sanitize-filename.js";

const CASES = [
  ["Quarterly report, final (2).pdf", "Quarterly report, final (2).pdf"],
  ["写真 ファイル.png", "写真 ファイル.png"],
  ["../../etc/passwd", "_.._etc_passwd"],
  ["C:\\windows\\system32\\cmd.exe", "C__windows_system32_cmd.exe"],
  [".bashrc", "bashrc"],
  ["..", "file"],
  ["", "file"],
  [null, "file"],
  [{ toString: () => "x" }, "file"],
  ["   . . ", "file"],
  ["trailing. . ", "trailing"],
  ["invoice\u202Efdp.exe", "invoicefdp.exe"],
  ["a\u2066b\u2069\u200Bc\uFEFF.txt", "abc.txt"],
  ["line\nbreak\u2028\r\0\x1b[31m.txt", "linebreak[31m.txt"],
  ["lone\uD800surrogate", "lonesurrogate"],
  ["CON", "_CON"],
  ["nul.txt", "_nul.txt"],
  ["COM1.tar.gz", "_COM1.tar.gz"],
  ["console.log", "console.log"],
  ['<img src=x onerror="alert(1)">', "_img src=x onerror=_alert(1)__"],
  ["e\u0301.txt", "\u00e9.txt"],
];

for (const [name, safe] of CASES) {
  test(`${JSON.stringify(name)} becomes ${JSON.stringify(safe)}`, () => assert.equal(sanitizeFilename(name), safe));
}

test("a long name is shortened before its extension, and never within a character", () => {
  const name = sanitizeFilename(`${"é".repeat(5_000)}.jpeg`.slice(-4_000));
  assert.ok(Buffer.byteLength(name) <= 200, `${Buffer.byteLength(name)} bytes`);
  assert.match(name, /^é+\.jpeg$/);
  assert.match(sanitizeFilename("😀".repeat(100)), /^(😀){50}$/u);
});

test("a safe name does not change", () => {
  for (const [, safe] of CASES) assert.equal(sanitizeFilename(safe), safe);
});
