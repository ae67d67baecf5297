/**
 * Opens the link of a share in one call. file-fetch.js has the parts, for applications that put them together
 * themselves.
 *
 *     const { entries, download, stop } = await receive(link);
 *     const { files } = await (await download(entries)).finished;
 *     await stop();
 */

import { Socket } from "../../channels/socket.js";
import { createIdentity } from "../../rtc/identity.js";
import { Peer } from "../../rtc/peer.js";
import { AbortedError } from "../../util/errors.js";
import { onAbort } from "../../util/abort.js";
import { Download } from "../download.js";
import { FileFetch } from "../file-fetch.js";
import { derivePasswordKey } from "../password-key.js";
import { pageOf, readLink, readUrl } from "../share-link.js";
import { openTarget } from "../targets/open-target.js";

/** @typedef {import("../file-entry.js").FileEntry} FileEntry */

/**
 * @typedef {object} Received
 * @property {FileEntry[]} entries the files that are shared now
 * @property {(entries?: FileEntry[], target?: import("../download-target.js").DownloadTarget) => Promise<Download>} download
 *   starts the download of some files, or of all (default target: `openTarget`)
 * @property {FileFetch} fetch with its events; it connects again by itself
 * @property {() => Promise<void>} stop ends the downloads that are under way; the sharer has heard before of those that
 *   were complete
 */

/**
 * @param {string} link as it was made or pasted
 * @param {import("./share.js").BrokerAccess & {password?: string, signal?: AbortSignal}} [options] signal: stops
 *   waiting for the sharer, who may be offline for long
 * @returns {Promise<Received>} when the sharer has listed its files
 * @throws {TypeError} the text is not the link of a share, or the share has a password and none was given
 * @throws {import("../../util/errors.js").HandclaspError} a failure that does not go away, such as a wrong password
 */
export async function receive(link, { password = "", signal, token, transport, createConnection } = {}) {
  const url = readUrl(link);
  const parts = url ? readLink(url) : "none";
  if (!url || typeof parts === "string") throw new TypeError(`this is not the link of a share: ${parts}`);
  if (parts.hasPassword && !password) throw new TypeError("this share has a password");
  const { peerId, key } = parts;
  const passwordKey = password ? await derivePasswordKey(key, password) : null;
  const socket = new Socket(new URL("socket", pageOf(url)).href, { token, transport });
  const peer = new Peer(socket, await createIdentity(), { createConnection });
  const fetch = new FileFetch(peer, peerId, key, { passwordKey });
  const close = () => {
    fetch.stop();
    peer.close();
    socket.disconnect();
  };
  try {
    await peer.join({ signal });
    await listed(fetch, signal);
  } catch (error) {
    close();
    throw error;
  }
  return {
    fetch,
    async stop() {
      await fetch.stopGracefully();
      close();
    },
    get entries() {
      return fetch.entries;
    },
    async download(entries = fetch.entries, target) {
      const download = new Download(entries, target ?? (await openTarget(entries, peerId)));
      fetch.add(download);
      return download;
    },
  };
}

/**
 * @param {FileFetch} fetch
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>} rejects when the fetch has ended with an error
 */
function listed(fetch, signal) {
  return new Promise((resolve, reject) => {
    const remove = onAbort(signal, () => reject(new AbortedError("waiting for the sharer")));
    fetch.on("list", () => (remove(), resolve()));
    fetch.on("state", (state, error) => state === "ended" && reject(error));
    void fetch.start();
  });
}
