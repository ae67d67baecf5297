/** Connects a command to a broker, as a peer of its own. */

import { tokenError } from "../channels/errors.js";
import { Socket } from "../channels/socket.js";
import { createIdentity } from "../rtc/identity.js";
import { Peer, joinWithRetry } from "../rtc/peer.js";
import { diagnose } from "./broker-probe.js";
import { CliError, WRONG_ADDRESS } from "./messages.js";
import { loadPackages } from "./packages.js";
import { printStatus } from "./terminal.js";

/**
 * @param {URL} page the broker's, with a slash at the end
 * @param {import("./token.js").ReadToken | string} token empty: none
 * @returns {Promise<{peer: Peer, join: () => Promise<void>, close: () => void}>} join: waits for a broker that
 *   may be restarting; rejects with a CliError if waiting cannot help
 * @throws {CliError} a package has to be installed
 */
export async function openPeer(page, token) {
  const { WebSocket: transport, createConnection } = await loadPackages();
  const socket = new Socket(new URL("socket", page).href, { transport, token, fetch: token ? fetchRefusal : null });
  const closing = new AbortController();
  const unreachable = reportOutages(socket, page, token, closing.signal);
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
 * Only refusals: broker-probe.js finds all other faults, and says more about them.
 *
 * @type {import("../channels/endpoint.js").Fetch}
 */
async function fetchRefusal(url, options) {
  const response = await fetch(url, options);
  if (response.status === 403) return response;
  await response.body?.cancel();
  throw new Error(`HTTP ${response.status}`);
}

/**
 * Prints why the broker cannot be reached, once for each reason in an outage.
 *
 * @param {Socket} socket
 * @param {URL} page
 * @param {import("./token.js").ReadToken | string} token
 * @param {AbortSignal} signal ends the search for the reason
 * @returns {Promise<never>} rejects if the broker was never reached, and waiting cannot help
 */
function reportOutages(socket, page, token, signal) {
  let wasOpen = false;
  let isProbing = false;
  let isTokenRefused = false;
  let reported = "";
  return new Promise((_, reject) => {
    socket.on("open", () => {
      if (reported) printStatus("The broker is reachable again.");
      wasOpen = true;
      reported = "";
    });
    // The socket connects once more with the token that it then gets, and gives up if it is refused again.
    socket.on("close", ({ reason }) => (isTokenRefused = tokenError(reason) !== null));
    socket.on("waiting", async () => {
      if (isProbing || isTokenRefused) return;
      isProbing = true;
      const { cause, isFinal, exitCode = WRONG_ADDRESS } = await diagnose(page, token, signal);
      isProbing = false;
      if (signal.aborted || socket.state === "open") return;
      if (isFinal && !wasOpen) return reject(new CliError(cause, exitCode));
      if (cause !== reported) printStatus(`${cause} Retrying; press Ctrl+C to stop.`);
      reported = cause;
    });
  });
}
