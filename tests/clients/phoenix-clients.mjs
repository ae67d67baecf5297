/** The official, unmodified `phoenix` npm client in three versions. */

import * as phoenix from "phoenix";
import { FetchRequest } from "./fetch-request.mjs";

// The older two expect a browser, and need only this of it. Version 1.8 is loaded before, and uses `fetch`.
globalThis.window = { XMLHttpRequest: FetchRequest };

export const CLIENTS = {
  1.8: phoenix,
  1.6: await import("phoenix-1.6"),
  1.3: (await import("phoenix-1.3")).default,
};

/**
 * @param {keyof typeof CLIENTS} version
 * @param {import("phoenix").Channel} channel that is not yet joined
 * @returns {{list: () => any[], log: string[]}} the `metas` of each entry; and every join and leave, by the meta's name
 */
export function presenceOf(version, channel) {
  const { Presence } = CLIENTS[version];
  /** @type {string[]} */
  const log = [];
  const onJoin = (_key, _current, { metas }) => log.push(`+${metas[0].name}`);
  const onLeave = (_key, _current, { metas }) => log.push(`-${metas[0].name}`);
  const choose = (_key, { metas }) => metas;
  if (version === "1.3") {
    let state = {};
    channel.on("presence_state", (all) => (state = Presence.syncState(state, all, onJoin, onLeave)));
    channel.on("presence_diff", (diff) => (state = Presence.syncDiff(state, diff, onJoin, onLeave)));
    return { list: () => Presence.list(state, choose), log };
  }
  const presence = new Presence(channel);
  presence.onJoin(onJoin);
  presence.onLeave(onLeave);
  return { list: () => presence.list(choose), log };
}

/**
 * Closes a client for good. Version 1.3 goes on after a disconnect: it pings, and joins its channels again.
 *
 * @param {import("phoenix").Socket} socket
 */
export function disconnect(socket) {
  socket.disconnect();
  socket.reconnectTimer.reset();
  clearInterval(socket.heartbeatTimer);
  for (const channel of socket.channels.splice(0)) channel.rejoinTimer.reset();
}
