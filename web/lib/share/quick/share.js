/**
 * Shares files or texts in one call. file-share.js has the parts, for applications that put them together themselves.
 *
 *     const { link, receivers, stop } = await share(input.files);
 *     await share("a text");
 */

import { Socket } from "../../channels/socket.js";
import { createIdentity } from "../../rtc/identity.js";
import { Peer } from "../../rtc/peer.js";
import { randomBytes } from "../../util/bytes.js";
import { textFile } from "../file-entry.js";
import { FileShare } from "../file-share.js";
import { derivePasswordKey } from "../password-key.js";
import { KEY_BYTES, makeLink, pageOf } from "../share-link.js";

/**
 * @typedef {object} BrokerAccess
 * @property {import("../../channels/token-source.js").TokenOption} [token] as of a `Socket`
 * @property {new (url: string) => WebSocket} [transport] (default: the platform's WebSocket)
 * @property {(config: RTCConfiguration) => RTCPeerConnection} [createConnection] (default: the platform's)
 */

/**
 * @typedef {object} Shared
 * @property {string} link opens the broker's page, and is the argument of `receive`
 * @property {import("../remote-receiver.js").RemoteReceiver[]} receivers those that have opened the link, oldest first; it grows
 * @property {FileShare} fileShare with its events, and the catalogue of its files
 * @property {() => Promise<void>} stop ends the share and its transfers; resolves when the receivers know it
 */

/**
 * @param {string | Iterable<File | string>} files for example of an `<input type=file>`; with their folders, if they have any.
 *   A string is a text, which the other side shows
 * @param {BrokerAccess & {page?: string | URL, password?: string, once?: boolean, idleTimeout?: number, expiresAt?: Date | null, signal?: AbortSignal}} [options]
 *   page: the broker's page (default: this one); once, idleTimeout, expiresAt: see `FileShare`; signal: stops waiting for the broker
 * @returns {Promise<Shared>} when the link works
 * @throws {import("../../util/errors.js").HandclaspError} the broker cannot be reached, or refuses the share
 */
export async function share(files, { page = globalThis.location?.href, password = "", once, idleTimeout, expiresAt, signal, token, transport, createConnection } = {}) {
  const broker = pageOf(new URL(page));
  const socket = new Socket(new URL("socket", broker).href, { token, transport });
  const peer = new Peer(socket, await createIdentity(), { createConnection });
  const key = randomBytes(KEY_BYTES);
  const passwordKey = password ? await derivePasswordKey(key, password) : null;
  const fileShare = new FileShare(peer, key, { passwordKey, once, idleTimeout, expiresAt });
  fileShare.catalogue.add(Array.from(typeof files === "string" ? [files] : files, toSource));
  /** @type {import("../remote-receiver.js").RemoteReceiver[]} */
  const receivers = [];
  fileShare.on("receiver", (receiver) => {
    receivers.push(receiver);
    receiver.on("forgotten", () => receivers.splice(receivers.indexOf(receiver), 1));
  });
  const close = () => {
    peer.close();
    socket.disconnect();
  };
  try {
    await peer.join({ signal });
  } catch (error) {
    close();
    throw error;
  }
  return {
    link: makeLink({ peerId: peer.id, key, hasPassword: password !== "" }, broker),
    receivers,
    fileShare,
    async stop() {
      await fileShare.stop();
      close();
    },
  };
}

/**
 * @param {File | string} file
 * @returns {{file: import("../file-entry.js").FileSource, path?: string[]}}
 */
function toSource(file) {
  if (typeof file === "string") return { file: textFile(file) };
  return { file, path: file.webkitRelativePath ? file.webkitRelativePath.split("/") : undefined };
}
