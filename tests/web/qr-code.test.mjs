/** QR codes, decoded by another program. */

import assert from "node:assert/strict";
import { test } from "node:test";
import jsQR from "jsqr";
import { qrLines } from "../../web/lib/cli/qr-lines.js";
import { encodeQr } from "../../web/lib/util/qr-code.js";

/** As a camera would see it: eight pixels a module, and a light border. */
function picture(code) {
  const scale = 4;
  const size = (code.length + 8) * scale;
  const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const dark = code[Math.floor(y / scale) - 4]?.[Math.floor(x / scale) - 4];
      if (dark) pixels.fill(0, (y * size + x) * 4, (y * size + x) * 4 + 3);
    }
  }
  return [pixels, size, size];
}

for (const length of [1, 14, 15, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331]) {
  test(`a text of ${length} bytes can be decoded again`, () => {
    const text = Array.from({ length }, (_, at) => String.fromCharCode(33 + ((at * 7) % 90))).join("");
    assert.equal(jsQR(...picture(encodeQr(text)))?.data, text);
  });
}

test("a text that is too long is rejected", () => {
  assert.throws(() => encodeQr("x".repeat(332)), { name: "RangeError", message: /332 bytes.*331/ });
});

test("the lines for a terminal show the code, if they fit", () => {
  const link = `https://example.org/?peer_id=${"0".repeat(36)}#k=${"A".repeat(22)}`;
  const lines = qrLines(link, 80).map((line) => line.replace(/\x1b\[[\d;]*m/g, ""));
  const rows = lines.flatMap((line) => ["▀█", "▄█"].map((dark) => Array.from(line, (character) => dark.includes(character))));
  assert.equal(jsQR(...picture(rows), { inversionAttempts: "dontInvert" })?.data, link);
  assert.ok(lines.length <= 23 && lines.every(({ length }) => length === 45), "it fits on 80 columns and 24 lines");
  assert.deepEqual([qrLines(link, 44), qrLines("x".repeat(332), 200)], [[], []]);
});
