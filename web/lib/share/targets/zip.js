/**
 * The records of a ZIP archive around the contents of its files: stored without compression, names in
 * UTF-8, ZIP64 where a file, an offset or a count needs it. The CRC follows each file, so a file can be
 * written while it is still arriving, and the size of the archive is known in advance.
 */

import { concat, utf8 } from "../../util/bytes.js";

/** @typedef {{path: string[], size: number, isFolder?: true}} ZipMember */
/** @typedef {ZipMember & {crc: number}} WrittenMember */

const MAX32 = 0xffff_ffff;
const MAX16 = 0xffff;
/** Names in UTF-8; CRC and sizes in the data descriptor. */
const FLAGS = 0x0808;
/** 1 January 1980, the earliest date of the format: the real one is unknown. */
const DATE = 0x0021;

/**
 * @param {ZipMember} member
 * @returns {Uint8Array<ArrayBuffer>} the record before the file's bytes
 */
export function localFileHeader(member) {
  const { size } = member;
  const name = nameOf(member);
  const big = size >= MAX32;
  const extra = big ? concat(u16(1), u16(16), u64(size), u64(size)) : new Uint8Array(0);
  const sizes = big ? [u32(MAX32), u32(MAX32)] : [u32(0), u32(0)];
  return concat(u32(0x04034b50), ...common(big), u32(0), ...sizes, u16(name.length), u16(extra.length), name, extra);
}

/**
 * @param {WrittenMember} member
 * @returns {Uint8Array<ArrayBuffer>} the record after the file's bytes
 */
export function dataDescriptor({ size, crc }) {
  const number = size >= MAX32 ? u64 : u32;
  return concat(u32(0x08074b50), u32(crc), number(size), number(size));
}

/**
 * @param {WrittenMember[]} members in the order of the archive
 * @returns {Uint8Array<ArrayBuffer>} the records at the end of the archive
 */
export function centralDirectory(members) {
  let offset = 0;
  const rows = members.map((member) => {
    const row = centralDirectoryHeader(member, offset);
    offset += memberLength(member);
    return row;
  });
  const table = concat(...rows);
  const big = offset >= MAX32 || table.length >= MAX32 || members.length >= MAX16;
  const end = [u32(0x06054b50), u16(0), u16(0)];
  if (!big) return concat(table, ...end, u16(rows.length), u16(rows.length), u32(table.length), u32(offset), u16(0));
  const count = u64(rows.length);
  const record = [u32(0x06064b50), u64(44), u16(45), u16(45), u32(0), u32(0), count, count, u64(table.length), u64(offset)];
  const locator = [u32(0x07064b50), u32(0), u64(offset + table.length), u32(1)];
  return concat(table, ...record, ...locator, ...end, u16(MAX16), u16(MAX16), u32(MAX32), u32(MAX32), u16(0));
}

/**
 * @param {ZipMember[]} members
 * @returns {number} size of the archive in bytes
 */
export function zipSize(members) {
  const written = members.map((member) => ({ ...member, crc: 0 }));
  return written.reduce((sum, member) => sum + memberLength(member), centralDirectory(written).length);
}

/** @param {WrittenMember} member @returns {number} bytes of the file and of the records around it */
function memberLength(member) {
  return localFileHeader(member).length + member.size + dataDescriptor(member).length;
}

/**
 * @param {WrittenMember} member
 * @param {number} offset of its local header
 */
function centralDirectoryHeader(member, offset) {
  const { size, crc } = member;
  const name = nameOf(member);
  const bigSize = size >= MAX32;
  const bigOffset = offset >= MAX32;
  const wide = [...(bigSize ? [u64(size), u64(size)] : []), ...(bigOffset ? [u64(offset)] : [])];
  const extra = wide.length > 0 ? concat(u16(1), u16(8 * wide.length), ...wide) : new Uint8Array(0);
  const narrow = bigSize ? u32(MAX32) : u32(size);
  return concat(
    ...[u32(0x02014b50), u16(wide.length > 0 ? 45 : 20), ...common(wide.length > 0), u32(crc), narrow, narrow],
    ...[u16(name.length), u16(extra.length), u16(0), u16(0), u16(0), u32(0), bigOffset ? u32(MAX32) : u32(offset)],
    ...[name, extra],
  );
}

/** @param {ZipMember} member @returns {Uint8Array<ArrayBuffer>} a folder is told by the slash at the end */
function nameOf({ path, isFolder }) {
  return utf8(`${path.join("/")}${isFolder ? "/" : ""}`);
}

/** @param {boolean} big */
function common(big) {
  return [u16(big ? 45 : 20), u16(FLAGS), u16(0), u16(0), u16(DATE)];
}

/** @param {number} value */
function u16(value) {
  return Uint8Array.of(value, value >>> 8);
}

/** @param {number} value */
function u32(value) {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

/** @param {number} value up to 2^53 */
function u64(value) {
  return concat(u32(value % 2 ** 32), u32(Math.floor(value / 2 ** 32)));
}
