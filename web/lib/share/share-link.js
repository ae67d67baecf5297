/**
 * The link of a share: `<page>?peer_id=<uuid>#k=<base64url>`, with `&p=1` if it has a password. The broker
 * gets the id; no server gets to see the part after the `#`.
 */

import { isPeerId } from "../rtc/identity.js";
import { fromBase64url, toBase64url } from "../util/bytes.js";

/** The length of the key. It stands here because a page reads its link before it loads the rest of sharing. */
export const KEY_BYTES = 16;

/** What no key and no id contains. A link that was copied out of a text may end with a full stop or a bracket. */
const FOREIGN_END = /[^A-Za-z0-9_-].*$/s;

/** @typedef {{peerId: string, key: Uint8Array<ArrayBuffer>, hasPassword: boolean}} ShareLink */
/** @typedef {"none" | "bad_id" | "no_key" | "download_over"} NoShareLink */

/**
 * @param {ShareLink} link
 * @param {{origin: string, pathname: string}} [page] the broker's page, which the link opens
 * @returns {string}
 */
export function makeLink({ peerId, key, hasPassword }, page = location) {
  return `${page.origin}${page.pathname}?peer_id=${peerId}#k=${toBase64url(key)}${hasPassword ? "&p=1" : ""}`;
}

/**
 * Reads a link, also one with capital letters in the id, with further parameters, or with punctuation at its end.
 *
 * @param {{search: string, hash: string}} [page] a page, or a URL
 * @returns {ShareLink | NoShareLink} `none`: the URL is not a link of a share; `bad_id` and `no_key`: it is damaged;
 *   `download_over`: download-worker.js redirects there when its download does not exist any more
 */
export function readLink(page = location) {
  const query = new URLSearchParams(page.search);
  if (query.has("download_over")) return "download_over";
  const peerId = query.get("peer_id")?.toLowerCase().replace(FOREIGN_END, "");
  if (peerId === undefined) return "none";
  if (!isPeerId(peerId)) return "bad_id";
  const fragment = new URLSearchParams(page.hash.slice(1));
  const key = fromBase64url((fragment.get("k") ?? "").replace(FOREIGN_END, ""));
  return key?.length === KEY_BYTES ? { peerId, key, hasPassword: fragment.has("p") } : "no_key";
}

/**
 * @param {URL} url of a broker's page, or a link to it. A broker may be below a path of its host
 * @returns {URL} the page alone, with a slash at the end
 */
export function pageOf(url) {
  const last = url.pathname.split("/").pop() ?? "";
  return new URL(last === "" || last.endsWith(".html") ? "." : `./${last}/`, url);
}

/**
 * @param {string} text a link as it was pasted, perhaps with spaces, quotes or angle brackets around it
 * @returns {URL | null} null: it is no web address
 */
export function readUrl(text) {
  const url = text.trim().replace(/^[<"'(]+/, "");
  return /^https?:\/\//i.test(url) && URL.canParse(url) ? new URL(url) : null;
}
