/**
 * The link: `/?peer_id=<uuid>#k=<base64url>`, with `&p=1` where a password belongs to it.
 * The id is for the broker; the rest stays behind the `#`, which no server gets to see.
 */

import { fromBase64url, toBase64url } from "../util/bytes.js";
import { isPeerId } from "../rtc/identity.js";
import { KEY_BYTES } from "./key-proof.js";

/** @typedef {{peerId: string, key: Uint8Array<ArrayBuffer>, hasPassword: boolean}} Invitation */

/**
 * @param {Invitation} invitation
 * @param {Pick<Location, "origin" | "pathname">} [page]
 * @returns {string}
 */
export function makeLink({ peerId, key, hasPassword }, page = location) {
  return `${page.origin}${page.pathname}?peer_id=${peerId}#k=${toBase64url(key)}${hasPassword ? "&p=1" : ""}`;
}

/**
 * @param {Pick<Location, "search" | "hash">} [page]
 * @returns {Invitation | "none" | "bad_id" | "no_key" | "download_over"} `none` where nobody is
 *   to be called; `download_over` where download-worker.js sends those who come too late
 */
export function readLink(page = location) {
  const query = new URLSearchParams(page.search);
  if (query.has("download_over")) return "download_over";
  const peerId = query.get("peer_id");
  if (peerId === null) return "none";
  if (!isPeerId(peerId)) return "bad_id";
  const fragment = new URLSearchParams(page.hash.slice(1));
  const key = fromBase64url(fragment.get("k") ?? "");
  return key?.length === KEY_BYTES ? { peerId, key, hasPassword: fragment.has("p") } : "no_key";
}
