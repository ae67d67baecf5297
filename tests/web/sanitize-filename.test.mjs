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
  ["CON .txt", "_CON .txt"],
  ["NUL .tar.gz", "_NUL .tar.gz"],
  ["aux   ", "_aux"],
  ["prn . .txt", "_prn . .txt"],
  ["COM¹.txt", "_COM¹.txt"],
  ["lpt³ .a.b", "_lpt³ .a.b"],
  ["conin$", "_conin$"],
  ["CONOUT$ .log", "_CONOUT$ .log"],
  ["Clock$.txt", "_Clock$.txt"],
  ["C\u200bO\u00adN\u3164.txt", "_CON.txt"],
  ["nul\u00a0.txt", "_nul\u00a0.txt"],
  ["NUL:", "NUL_"],
  ["NUL:.txt", "NUL_.txt"],
  ["a:b", "a_b"],
  ["a.txt::$DATA", "a.txt__$DATA"],
  ["name .", "name"],
  ["name. . .", "name"],
  [" . hidden", "hidden"],
  ["console.log", "console.log"],
  ["con text.txt", "con text.txt"],
  ["COM10.txt", "COM10.txt"],
  ["null.txt", "null.txt"],
  ["icon.png", "icon.png"],
  ["a\u3164\uffa0\u115f\u2800\u034f\u180b\ufe0f\u{e0061}b.txt", "ab.txt"],
  ["e\u200b\u0301.txt", "\u00e9.txt"],
  // Joiners, selectors and tags stay where a letter or an emoji needs them, and only there.
  ["می\u200cخواهم.txt", "می\u200cخواهم.txt"],
  ["ශ්\u200dරී.txt", "ශ්\u200dරී.txt"],
  ["അവന്\u200d.txt", "അവന്\u200d.txt"],
  ["👨\u200d👩\u200d👧.jpg", "👨\u200d👩\u200d👧.jpg"],
  ["👩🏽\u200d⚕\ufe0f ❤\ufe0f.jpg", "👩🏽\u200d⚕\ufe0f ❤\ufe0f.jpg"],
  ["1\ufe0f\u20e3.txt", "1\ufe0f\u20e3.txt"],
  ["🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}.png", "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}.png"],
  ["葛\u{e0100}.txt", "葛\u{e0100}.txt"],
  ["a\u200db\u200cc\ufe0f.txt", "abc.txt"],
  ["👨\u200d.jpg", "👨.jpg"],
  ["👨\u200d\u200d👩.jpg", "👨👩.jpg"],
  ["م\u200c\u200cم\u200c.txt", "مم.txt"],
  ["م\u200c\u202eم.txt", "مم.txt"],
  ["🏴\u{e0061}.png", "🏴.png"],
  ["*\ufe0f\u20e3.txt", "_\u20e3.txt"],
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
  assert.match(sanitizeFilename(`aaaaaa${"👨\u200d👩".repeat(30)}`), /^a{6}(👨\u200d👩){17}👨$/u);
});

test("a name of a device that appears only when a long name is shortened is renamed too", () => {
  const name = sanitizeFilename(`CON${" ".repeat(250)}x.txt`);
  assert.match(name, /^_CON +\.txt$/);
  assert.ok(Buffer.byteLength(name) <= 200);
});

test("a safe name does not change", () => {
  const long = [`nul.${"x".repeat(300)}`, `CON${" ".repeat(250)}x.txt`, `${"é ".repeat(300)}.jpeg`, `${"a.".repeat(300)}`, "👨\u200d👩".repeat(90), "م\u200c".repeat(200)];
  for (const safe of [...CASES.map(([, safe]) => safe), ...long.map(sanitizeFilename)]) assert.equal(sanitizeFilename(safe), safe);
});
