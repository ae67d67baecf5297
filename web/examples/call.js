/** A video call of two people: the first one opens the page and gets a link, the second one opens the link. */

import { HandclaspError, Socket } from "../lib/index.js";
import { Peer, createIdentity } from "../lib/rtc/index.js";
import { Tile, element, exchangeTracks, openCamera, showStatus } from "./stage.js";

const other = new URLSearchParams(location.search).get("peer_id");
const start = element("start", HTMLButtonElement);
const leave = element("leave", HTMLButtonElement);

start.addEventListener("click", () => void call());

async function call() {
  start.disabled = true;
  try {
    const stream = await openCamera();
    new Tile("you", stream, { muted: true });
    const socket = new Socket("../socket");
    const peer = new Peer(socket, await createIdentity());
    const end = () => (peer.close(), socket.disconnect());
    addEventListener("pagehide", end);
    leave.addEventListener("click", () => {
      end();
      stream.getTracks().forEach((track) => track.stop());
      location.reload();
    });
    leave.hidden = false;
    peer.on("connection", (connection) => meet(connection, stream));
    await peer.join();
    if (other) {
      showStatus("Calling…");
      meet(await peer.connect(other), stream);
    } else {
      invite(peer.id);
    }
  } catch (error) {
    const reason = error instanceof HandclaspError && error.reason === "absent" ? "The other person is not online." : String(error);
    showStatus(`No call: ${reason}`);
    start.disabled = false;
  }
}

/** @param {string} peerId */
function invite(peerId) {
  const link = element("link", HTMLInputElement);
  link.value = `${location.origin}${location.pathname}?peer_id=${peerId}`;
  element("invite", HTMLElement).hidden = false;
  link.select();
  showStatus("Waiting for the other person.");
}

/**
 * @param {import("../lib/rtc/index.js").Connection} connection open
 * @param {MediaStream} stream
 */
function meet(connection, stream) {
  const tile = new Tile("the other person", exchangeTracks(connection, stream));
  showStatus("Connected.");
  connection.on("interrupted", () => showStatus("The connection was interrupted and is recovering."));
  connection.on("restored", () => showStatus("Connected."));
  connection.on("close", () => {
    tile.remove();
    showStatus("The other person has left.");
  });
}
