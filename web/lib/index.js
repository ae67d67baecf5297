/** The library's public face: import from here. */

/** @typedef {import("./share/catalogue.js").Entry} Entry */
/** @typedef {import("./channels/channel.js").ChannelState} ChannelState */
/** @typedef {import("./util/clock.js").Clock} Clock */
/** @typedef {import("./share/download.js").Outcome} Outcome */
/** @typedef {import("./share/download.js").Progress} Progress */
/** @typedef {import("./share/file-fetch.js").FetchState} FetchState */
/** @typedef {import("./rtc/identity.js").Identity} Identity */
/** @typedef {import("./util/network-change.js").Network} Network */
/** @typedef {import("./rtc/ice-report.js").PathReport} PathReport */
/** @typedef {import("./rtc/peer.js").PeerOptions} PeerOptions */
/** @typedef {import("./rtc/pool/connection-pool.js").PoolOptions} PoolOptions */
/** @typedef {import("./channels/socket.js").SocketOptions} SocketOptions */
/** @typedef {import("./share/targets/target.js").Saved} Saved */
/** @typedef {import("./share/targets/target.js").Sink} Sink */
/** @typedef {import("./share/targets/target.js").Target} Target */

export { Catalogue } from "./share/catalogue.js";
export { Channel } from "./channels/channel.js";
export { Connection } from "./rtc/connection.js";
export { Download } from "./share/download.js";
export * from "./util/errors.js";
export { FileFetch } from "./share/file-fetch.js";
export { safeName, safePaths } from "./share/sanitize-filename.js";
export { FileShare, Reception } from "./share/file-share.js";
export { FolderTarget } from "./share/targets/folder-target.js";
export { createIdentity, isPeerId, restoreIdentity } from "./rtc/identity.js";
export { stretch } from "./share/derive-key.js";
export { Link } from "./rtc/message-channel.js";
export { Meter } from "./share/throughput.js";
export { Peer } from "./rtc/peer.js";
export { PickedFileTarget } from "./share/targets/picked-file-target.js";
export { ConnectionPool } from "./rtc/pool/connection-pool.js";
export { PooledConnection } from "./rtc/pool/pooled-connection.js";
export { Presence } from "./channels/presence.js";
export { KEY_BYTES, prove } from "./share/key-proof.js";
export { Receiver } from "./share/receiver.js";
export { Sender } from "./share/sender.js";
export { Socket } from "./channels/socket.js";
export { MemoryTarget, openTarget } from "./share/targets/target.js";
