/** ZIP archives that other programs can read, and their size in advance. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { crc32 as reference } from "node:zlib";
import { centralDirectory, dataDescriptor, localFileHeader, zipSize } from "../../web/lib/share/targets/zip.js";
import { crc32 } from "../../web/lib/util/crc32.js";
import { unzip } from "../unzip.mjs";

/** @param {Array<[string, Buffer]>} files */
function zip(files) {
  const members = files.map(([path, bytes]) => ({ path: path.split("/"), size: bytes.length, crc: crc32(bytes) }));
  const parts = members.flatMap((member, at) => [localFileHeader(member), files[at][1], dataDescriptor(member)]);
  const whole = Buffer.concat([...parts, centralDirectory(members)]);
  assert.equal(whole.length, zipSize(members));
  return whole;
}

test("the CRC is the same as zlib's, in one call and in several", () => {
  for (const length of [0, 1, 7, 8, 9, 1_000, 65_537]) {
    const bytes = randomBytes(length);
    assert.equal(crc32(bytes), reference(bytes));
    const at = Math.floor(length / 3);
    assert.equal(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at))), reference(bytes));
  }
});

test("files, folders and empty files are unpacked unchanged", async () => {
  const files = [["a.txt", Buffer.from("a")], ["深い/フォルダー/ü.bin", randomBytes(100_000)], ["empty", Buffer.alloc(0)]];
  assert.deepEqual([...(await unzip(zip(files)))], files);
});

test("an archive may have more files than ZIP without ZIP64 allows", async () => {
  const files = Array.from({ length: 65_600 }, (_, at) => [`${at}`, Buffer.alloc(0)]);
  assert.equal((await unzip(zip(files))).size, 65_600);
});

test("files over 4 GiB use ZIP64 for every size and offset", () => {
  const size = 5 * 2 ** 30;
  const big = { path: ["big"], size, crc: 1 };
  const header = Buffer.from(localFileHeader(big));
  assert.equal(header.readUInt32LE(22), 0xffff_ffff);
  assert.equal(header.readBigUInt64LE(30 + 3 + 4), BigInt(size));
  assert.equal(Buffer.from(dataDescriptor(big)).readBigUInt64LE(8), BigInt(size));
  const table = Buffer.from(centralDirectory([big, { path: ["b"], size: 1, crc: 2 }]));
  const second = 46 + 3 + 4 + 16;
  assert.equal(table.readUInt32LE(second + 42), 0xffff_ffff);
  assert.equal(table.readBigUInt64LE(second + 46 + 1 + 4), BigInt(header.length + size + 24));
  assert.equal(table.indexOf("504b0606", "hex"), second + 46 + 1 + 12);
});
