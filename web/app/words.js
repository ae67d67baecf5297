/** What the app says to people: figures, and every failure with its cure. */

import { HandclaspError } from "../lib/index.js";

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** @type {Record<string, string>} by the reason of an error */
const FAILURES = {
  absent: "The sender is not there: their page is closed, or they are offline. Ask them to open it; this page notices when they are back.",
  silent: "The sender’s page does not answer. It may be asleep: ask them to bring it to the front, then try again.",
  busy: "The sender is serving as many receivers as it can. Try again in a while.",
  overloaded: "The sender’s page is flooded with calls. Try again in a while.",
  rate_limited: "There were too many tries from here. Wait a minute, then try again.",
  no_path: "The two browsers found no direct way to each other. A VPN, a firewall or a blocker on either side is the likely cause: try without it, or from the same network.",
  lost: "The connection to the sender has ended: they closed their page, or a network broke. The file did not arrive whole.",
  closed: "The sender ended the connection. The file did not arrive whole.",
  disconnected: "The server that introduces the two browsers was lost. Check your network, then try again.",
  timeout: "There is no answer. Check your network, then try again.",
  wrong_key: "This link’s key does not fit, so the sender’s page refused it and showed nothing. Ask for the link again and copy all of it.",
  hash: "The bytes that arrived are not the sender’s file, so they were thrown away. The file may have changed on their disk: ask them to share it anew.",
  unreadable: "The sender’s browser cannot read the file any more: it was changed, moved or deleted. Ask them to share it anew.",
  storage: "This browser could not store the file: the disk may be full. Free some space, then try again.",
  too_large: "The file is larger than what this browser may store. Free some space, or try another browser.",
  stalled: "Nothing has arrived for half a minute, so the transfer was ended. Try again when both networks are well.",
  refused: "The other side gave up. Try again.",
};

/** Links that cannot work, told before anybody is called. */
export const BAD_LINK = {
  bad_id: "This link is damaged: its peer_id is no id. Ask for the link again and copy all of it.",
  no_key: "This link is incomplete: the key after the # is missing or cut short. Nobody was contacted. Ask for the link again and copy all of it.",
};

export const INSECURE = "This page needs a secure address (https, or localhost) to encrypt and check files. Ask whoever runs it to switch https on.";

/**
 * @param {unknown} error
 * @returns {string} sentences for a person, with a way out
 */
export function failureText(error) {
  const reason = error instanceof HandclaspError ? error.reason : "";
  return FAILURES[reason] ?? `That did not work (${error instanceof Error ? error.message : String(error)}). Try again.`;
}

/**
 * @param {number} bytes
 * @returns {string} for example `20.5 MB`, in powers of 1000
 */
export function sizeText(bytes) {
  const power = Math.min(UNITS.length - 1, bytes < 1_000 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1_000 ** power;
  if (bytes === 1) return "1 byte";
  return `${Number(value.toFixed(value >= 100 ? 0 : 1))} ${UNITS[power]}`;
}

/**
 * @param {number} done
 * @param {number} size
 * @returns {number} whole percent, 100 only when all is there
 */
export function percent(done, size) {
  return size === 0 ? 100 : Math.floor((done / size) * 100);
}

/**
 * @param {number} seconds
 * @returns {string} for example `1 min 20 s left`
 */
export function leftText(seconds) {
  if (!Number.isFinite(seconds)) return "waiting";
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s left`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${whole % 60} s left`;
  return `${Math.floor(whole / 3_600)} h ${Math.floor((whole % 3_600) / 60)} min left`;
}
