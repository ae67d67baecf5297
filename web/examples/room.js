/** A video call in a room: everybody in the room's presence list is connected to everybody else. */

import { Presence, Socket } from "../lib/index.js";
import { Peer, PeerError, createIdentity } from "../lib/rtc/index.js";
import { Tile, element, exchangeTracks, openCamera, showStatus } from "./stage.js";

/** @typedef {import("../lib/rtc/index.js").Connection} Connection */

const room = element("room", HTMLInputElement);
room.value = new URLSearchParams(location.search).get("room") ?? "";

element("door", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  enter().catch((error) => {
    element("start", HTMLButtonElement).disabled = false;
    showStatus(`Cannot join: ${error.message}`);
  });
});

async function enter() {
  element("start", HTMLButtonElement).disabled = true;
  const stream = await openCamera();
  const call = new RoomCall(stream, await createIdentity());
  await call.start(room.value, element("name", HTMLInputElement).value);
  element("door", HTMLFormElement).hidden = true;
  const leave = element("leave", HTMLButtonElement);
  leave.hidden = false;
  leave.addEventListener("click", () => {
    call.end();
    location.reload();
  });
  addEventListener("pagehide", () => call.end());
}

class RoomCall {
  #socket = new Socket("../socket");
  #peer;
  #stream;
  #presence = /** @type {Presence | null} */ (null);
  /** @type {Map<string, Connection>} to peers that may not be in the presence list yet */
  #waiting = new Map();
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  /** @type {Set<string>} */
  #calling = new Set();

  /**
   * @param {MediaStream} stream
   * @param {import("../lib/rtc/index.js").Identity} identity
   */
  constructor(stream, identity) {
    this.#stream = stream;
    this.#peer = new Peer(this.#socket, identity);
    this.#peer.on("connection", (connection) => {
      this.#waiting.set(connection.peerId, connection);
      this.#update();
    });
  }

  /**
   * @param {string} name of the room
   * @param {string} me
   */
  async start(name, me) {
    // Before the room: the presence key of a socket that has joined as a peer is its peer id.
    await this.#peer.join();
    const channel = this.#socket.channel(`room:${name}`, { meta: { name: me } });
    this.#presence = new Presence(channel);
    this.#presence.on("sync", () => this.#update());
    await channel.join();
    new Tile(`${me} (you)`, this.#stream, { muted: true });
  }

  end() {
    this.#peer.close();
    this.#socket.disconnect();
    this.#stream.getTracks().forEach((track) => track.stop());
  }

  #update() {
    const others = (this.#presence?.list() ?? []).filter(({ key }) => key !== this.#peer.id);
    for (const { key, metas } of others) {
      const connection = this.#waiting.get(key);
      if (connection) this.#show(connection, String(metas[0].name));
      // Of two peers the one with the lesser id calls.
      else if (this.#peer.id < key && !this.#tiles.has(key)) void this.#call(key);
    }
    showStatus(others.length === 0 ? "Nobody else is here yet." : `Here: you and ${others.length} more.`);
  }

  /** @param {string} id */
  async #call(id) {
    if (this.#calling.has(id)) return;
    this.#calling.add(id);
    try {
      this.#waiting.set(id, await this.#peer.connect(id));
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      console.info(error.message); // a peer that has left disappears from the list soon
    } finally {
      this.#calling.delete(id);
    }
    if (this.#waiting.has(id)) this.#update();
  }

  /**
   * @param {Connection} connection open
   * @param {string} name
   */
  #show(connection, name) {
    const id = connection.peerId;
    this.#waiting.delete(id);
    this.#tiles.get(id)?.remove();
    const tile = new Tile(name, exchangeTracks(connection, this.#stream));
    this.#tiles.set(id, tile);
    connection.on("close", () => {
      tile.remove();
      if (this.#tiles.get(id) === tile) this.#tiles.delete(id);
    });
  }
}
