/** Connects a command to a broker, as a peer of its own. */

import { Socket } from "../channels/socket.js";
import { createIdentity } from "../rtc/identity.js";
import { Peer, joinWithRetry } from "../rtc/peer.js";
import { diagnose } from "./broker-probe.js";
import { CliError, WRONG_ADDRESS } from "./messages.js";
import { loadPackages } from "./packages.js";
import { printStatus } from "./terminal.js";

/**
 * @param {URL} page the broker's, with a slash at the end
 * @returns {Promise<{peer: Peer, join: () => Promise<void>, close: () => void}>} join: waits for a broker that
 *   may be restarting; rejects with a CliError if waiting cannot help
 * @throws {CliError} a package has to be installed
 */
export async function openPeer(page) {
  const { WebSocket: transport, createConnection } = await loadPackages();
  const socket = new Socket(new URL("socket", page).href, { transport, fetch: null });
  const closing = new AbortController();
  const unreachable = reportOutages(socket, page, closing.signal);
  const peer = new Peer(socket, await createIdentity(), { createConnection });
  return {
    peer,
    join: () => Promise.race([joinWithRetry(peer), unreachable]),
    close() {
      closing.abort();
      peer.close();
      socket.disconnect();
    },
  };
}

/**
 * Prints why the broker cannot be reached, once for each reason in an outage.
 *
 * @param {Socket} socket
 * @param {URL} page
 * @param {AbortSignal} signal ends the search for the reason
 * @returns {Promise<never>} rejects if the broker was never reached, and waiting cannot help
 */
function reportOutages(socket, page, signal) {
  let wasOpen = false;
  let isProbing = false;
  let reported = "";
  return new Promise((_, reject) => {
    socket.on("open", () => {
      if (reported) printStatus("The broker is reachable again.");
      wasOpen = true;
      reported = "";
    });
    socket.on("waiting", async () => {
      if (isProbing) return;
      isProbing = true;
      const { cause, isFinal } = await diagnose(page, signal);
      isProbing = false;
      if (signal.aborted || socket.state === "open") return;
      if (isFinal && !wasOpen) return reject(new CliError(cause, WRONG_ADDRESS));
      if (cause !== reported) printStatus(`${cause} Retrying; press Ctrl+C to stop.`);
      reported = cause;
    });
  });
}
