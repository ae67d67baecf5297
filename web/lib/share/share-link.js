/**
 * The link of a share: `/?peer_id=<uuid>#k=<base64url>`, with `&p=1` if it has a password. The broker
 * gets the id; no server gets to see the part after the `#`.
 */

import { isPeerId } from "../rtc/identity.js";
import { fromBase64url, toBase64url } from "../util/bytes.js";

/** The length of the key. It stands here because a page reads its link before it loads the rest of sharing. */
export const KEY_BYTES = 16;

/** @typedef {{peerId: string, key: Uint8Array<ArrayBuffer>, hasPassword: boolean}} ShareLink */

/**
 * @param {ShareLink} link
 * @param {Pick<Location, "origin" | "pathname">} [page]
 * @returns {string}
 */
export function formatShareLink({ peerId, key, hasPassword }, page = location) {
  return `${page.origin}${page.pathname}?peer_id=${peerId}#k=${toBase64url(key)}${hasPassword ? "&p=1" : ""}`;
}

/**
 * @param {Pick<Location, "search" | "hash">} [page]
 * @returns {ShareLink | "none" | "bad_id" | "no_key" | "download_over"} `none`: the URL is not a link of
 *   a share; `download_over`: download-worker.js redirects there when its download does not exist any more
 */
export function parseShareLink(page = location) {
  const query = new URLSearchParams(page.search);
  if (query.has("download_over")) return "download_over";
  const peerId = query.get("peer_id");
  if (peerId === null) return "none";
  if (!isPeerId(peerId)) return "bad_id";
  const fragment = new URLSearchParams(page.hash.slice(1));
  const key = fromBase64url(fragment.get("k") ?? "");
  return key?.length === KEY_BYTES ? { peerId, key, hasPassword: fragment.has("p") } : "no_key";
}
