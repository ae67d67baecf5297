/** Links of shares, as people pass them on. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { makeLink, pageOf, readLink, readUrl } from "../../web/lib/share/share-link.js";

const ID = "d5b83a07-2f0c-8d2e-9d1b-6a3f6c1f5a10";
const KEY = new Uint8Array(16).map((_, index) => 200 + index);
const PAGE = { origin: "https://example.org", pathname: "/" };
const LINK = makeLink({ peerId: ID, key: KEY, hasPassword: false }, PAGE);

test("a link is what its page reads", () => {
  for (const hasPassword of [false, true]) {
    const link = { peerId: ID, key: KEY, hasPassword };
    assert.deepEqual(readLink(new URL(makeLink(link, PAGE))), link);
  }
});

test("a link is read as people paste it", () => {
  const base = { peerId: ID, key: KEY, hasPassword: false };
  const [address, fragment] = LINK.split("#");
  const pasted = [
    `  ${LINK}\n`,
    ...[".", ")", ",", ">", ").", "!", "\u3002", "?utm_source=mail", "&utm_source=mail"].map((end) => LINK + end),
    `<${LINK}>`,
    `"${LINK}"`,
    `(${LINK})`,
    LINK.replace("https", "HTTPS"),
    LINK.replace(ID, ID.toUpperCase()),
    `${address}&utm_source=mail&fbclid=x#${fragment}`,
    `${address.replace("?", "?utm_source=mail&")}#${fragment}`,
  ];
  for (const text of pasted) {
    const url = readUrl(text);
    assert.ok(url, text);
    assert.deepEqual(readLink(url), base, text);
  }
  const withPassword = readUrl(`${LINK}&p=1).`);
  assert.ok(withPassword);
  assert.deepEqual(readLink(withPassword), { ...base, hasPassword: true });
});

test("the page of a link may be below a path", () => {
  for (const [url, page] of [
    [LINK, "https://example.org/"],
    ["https://example.org", "https://example.org/"],
    ["https://example.org/share?x#y", "https://example.org/share/"],
    ["https://example.org/a:b/share/?x#y", "https://example.org/a:b/share/"],
    ["https://example.org/a:b", "https://example.org/a:b/"],
    ["https://example.org/share/index.html?x", "https://example.org/share/"],
  ]) assert.equal(pageOf(new URL(url)).href, page);
});

test("what is no link, or a damaged one, is told apart", () => {
  /** @type {[string, string][]} */
  const damaged = [
    ["https://example.org/", "none"],
    ["https://example.org/?download_over", "download_over"],
    [LINK.replace("d5b", ""), "bad_id"],
    [LINK.replace(ID, `${ID}0`), "bad_id"],
    [LINK.split("#")[0], "no_key"],
    [LINK.slice(0, -1), "no_key"],
    [`${LINK}A`, "no_key"],
  ];
  for (const [text, expected] of damaged) assert.equal(readLink(new URL(text)), expected, text);
  for (const text of ["", "example.org", "ftp://example.org/", "https://", "http:example"]) assert.equal(readUrl(text), null, text);
});
