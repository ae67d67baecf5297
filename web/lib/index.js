/** `handclasp`: sockets, channels and presence. `rtc/index.js` and `share/index.js` are the other two entry points. */

/** @typedef {import("./channels/channel.js").ChannelState} ChannelState */
/** @typedef {import("./channels/presence.js").PresenceEntry} PresenceEntry */
/** @typedef {import("./channels/presence.js").PresenceMeta} PresenceMeta */
/** @typedef {import("./channels/socket-options.js").SocketOptions} SocketOptions */
/** @typedef {import("./channels/socket.js").SocketState} SocketState */
/** @typedef {import("./channels/token-source.js").TokenOption} TokenOption */
/** @typedef {import("./util/clock.js").Clock} Clock */
/** @typedef {import("./util/network-change.js").Network} Network */

export { Channel } from "./channels/channel.js";
export {
  ClosedError,
  DisconnectedError,
  EndpointError,
  OverflowError,
  PermissionError,
  RefusedError,
  RejectedError,
  TokenError,
  TooBigError,
} from "./channels/errors.js";
export { Presence } from "./channels/presence.js";
export { Socket } from "./channels/socket.js";
export { AbortedError, HandclaspError, ProtocolError, TimeoutError } from "./util/errors.js";
