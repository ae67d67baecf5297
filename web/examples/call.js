/** A video call of two people: the first one opens the page and gets a link, the second one opens the link. */

import { Socket } from "../lib/index.js";
import { Peer, createIdentity } from "../lib/rtc/index.js";
import { Tile, element, exchangeTracks, openCamera, sentenceOf, showControls, showLink, showStatus } from "./stage.js";

const other = new URLSearchParams(location.search).get("peer_id");
const start = element("start", HTMLButtonElement);

start.addEventListener("click", () => void call());

async function call() {
  start.disabled = true;
  /** @type {() => void} */
  let end = () => {};
  try {
    const stream = await openCamera();
    const socket = new Socket("../socket");
    // The library answers a third caller with `busy`.
    const peer = new Peer(socket, await createIdentity(), { maxConnections: 1 });
    end = () => {
      peer.close();
      socket.disconnect();
      stream.getTracks().forEach((track) => track.stop());
    };
    addEventListener("pagehide", end);
    peer.on("connection", (connection) => meet(connection, stream));
    await peer.join();
    if (other) showStatus("Calling…", "wait");
    const connection = other ? await peer.connect(other) : null;
    new Tile("You", stream, { isOwn: true });
    showControls(stream, () => (end(), location.reload()));
    start.hidden = true;
    if (connection) return meet(connection, stream);
    showLink(`${location.origin}${location.pathname}?peer_id=${peer.id}`);
    showStatus("Waiting for the other person.", "wait");
  } catch (error) {
    end();
    showStatus(sentenceOf(error), "bad");
    start.disabled = false;
  }
}

/**
 * @param {import("../lib/rtc/index.js").Connection} connection open
 * @param {MediaStream} stream
 */
function meet(connection, stream) {
  const tile = new Tile("The other person", exchangeTracks(connection, stream));
  element("invite", HTMLElement).hidden = true;
  showStatus("Connected.", "good");
  connection.on("interrupted", () => showStatus("The connection was interrupted and is recovering.", "wait"));
  connection.on("restored", () => showStatus("Connected.", "good"));
  connection.on("close", () => {
    tile.remove();
    // Only the side whose link it is can be called again.
    element("invite", HTMLElement).hidden = other !== null;
    showStatus(other ? "The other person has left." : "The other person has left. Your link still works.");
  });
}
