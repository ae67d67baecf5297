/** A video call of several: everybody on the room's list is connected to everybody else. */

import { Peer, PeerError, Presence, Socket, createIdentity } from "../lib/index.js";
import { Tile, element, exchangeTracks, openCamera, say } from "./stage.js";

/** @typedef {import("../lib/index.js").Connection} Connection */

const room = element("room", HTMLInputElement);
room.value = new URLSearchParams(location.search).get("room") ?? "";

element("door", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  enter().catch((error) => {
    element("start", HTMLButtonElement).disabled = false;
    say(`Cannot join: ${error.message}`);
  });
});

async function enter() {
  element("start", HTMLButtonElement).disabled = true;
  const stream = await openCamera();
  const visit = new Visit(stream, await createIdentity());
  await visit.begin(room.value, element("name", HTMLInputElement).value);
  element("door", HTMLFormElement).hidden = true;
  const leave = element("leave", HTMLButtonElement);
  leave.hidden = false;
  leave.addEventListener("click", () => {
    visit.end();
    location.reload();
  });
  addEventListener("pagehide", () => visit.end());
}

/** One person's stay in one room. */
class Visit {
  #socket = new Socket("/socket");
  #peer;
  #stream;
  #presence = /** @type {Presence | null} */ (null);
  /** @type {Map<string, Connection>} opened by others who may not be on the list yet */
  #waiting = new Map();
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  /** @type {Set<string>} */
  #calling = new Set();

  /**
   * @param {MediaStream} stream
   * @param {import("../lib/rtc/identity.js").Identity} identity
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
  async begin(name, me) {
    // First: a socket that is a peer is listed in rooms by its peer id.
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
      // One of each two calls: the one with the lesser id.
      else if (this.#peer.id < key && !this.#tiles.has(key)) void this.#call(key);
    }
    say(others.length === 0 ? "Nobody else is here yet." : `Here: you and ${others.length} more.`);
  }

  /** @param {string} id */
  async #call(id) {
    if (this.#calling.has(id)) return;
    this.#calling.add(id);
    try {
      this.#waiting.set(id, await this.#peer.connect(id));
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      console.info(error.message); // who has left meanwhile is off the list soon
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
