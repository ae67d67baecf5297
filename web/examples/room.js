/** A video call in a room: everybody in the room's presence list is connected to everybody else. */

import { Presence, Socket } from "../lib/index.js";
import { Peer, PeerError, createIdentity } from "../lib/rtc/index.js";
import { Tile, element, exchangeTracks, openCamera, sentenceOf, showControls, showLink, showStatus } from "./stage.js";

/** @typedef {import("../lib/rtc/index.js").Connection} Connection */

/** Names in one sentence; the others are counted. */
const NAMES_SHOWN = 5;
/** Characters of a name: the others write theirs themselves. */
const NAME_LENGTH = 40;

const room = element("room", HTMLInputElement);
// A name that nobody else has, so that strangers do not meet by chance.
room.value = new URLSearchParams(location.search).get("room") ?? `room-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

element("door", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  void enter();
});

async function enter() {
  const start = element("start", HTMLButtonElement);
  start.disabled = true;
  /** @type {RoomCall | null} */
  let call = null;
  try {
    const stream = await openCamera();
    call = new RoomCall(stream, await createIdentity());
    const { end } = call;
    addEventListener("pagehide", end);
    await call.start(room.value, element("name", HTMLInputElement).value);
    element("door", HTMLFormElement).hidden = true;
    showControls(stream, () => (end(), location.reload()));
    const link = `${location.origin}${location.pathname}?room=${encodeURIComponent(room.value)}`;
    history.replaceState(null, "", link);
    showLink(link);
  } catch (error) {
    call?.end();
    showStatus(sentenceOf(error), "bad");
    start.disabled = false;
  }
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
  /** Names of the others who are here, by key; null before the first list. */
  #others = /** @type {Map<string, string> | null} */ (null);

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
    new Tile(`${me} (you)`, this.#stream, { isOwn: true });
  }

  end = () => {
    this.#peer.close();
    this.#socket.disconnect();
    this.#stream.getTracks().forEach((track) => track.stop());
  };

  #update() {
    const others = new Map();
    for (const { key, metas } of this.#presence?.list() ?? []) {
      if (key !== this.#peer.id) others.set(key, nameOf(metas[0]?.name));
    }
    for (const [key, name] of others) {
      const connection = this.#waiting.get(key);
      if (connection) this.#show(connection, name);
      // Of two peers the one with the lesser id calls.
      else if (this.#peer.id < key && !this.#tiles.has(key)) void this.#call(key);
    }
    this.#tell(others);
    this.#others = others;
  }

  /** @param {Map<string, string>} others */
  #tell(others) {
    const before = this.#others ?? new Map();
    // The connections change too, and then who is here need not be said again.
    if (this.#others && others.size === before.size && [...others.keys()].every((key) => before.has(key))) return;
    const left = [...before].filter(([key]) => !others.has(key)).map(([, name]) => name);
    const news = left.length === 0 ? "" : `${enumerate(left)} ${left.length === 1 ? "has" : "have"} left. `;
    if (others.size === 0) return showStatus(`${news}${news ? "You are alone now." : "Nobody else is here yet."}`, "wait");
    showStatus(`${news}Here: ${enumerate(["you", ...others.values()])}.`, "good");
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

/**
 * @param {unknown} name as another member wrote it
 * @returns {string}
 */
function nameOf(name) {
  return typeof name === "string" && name !== "" ? name.slice(0, NAME_LENGTH) : "Somebody";
}

/**
 * @param {string[]} names
 * @returns {string} "Ann", "Ann and Bob", "Ann, Bob and 3 more"
 */
function enumerate(names) {
  const shown = names.slice(0, NAMES_SHOWN);
  if (names.length > shown.length) return `${shown.join(", ")} and ${names.length - shown.length} more`;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown[shown.length - 1]}`;
}
