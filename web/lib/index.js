/** The library's public face: import from here. */

/** @typedef {import("./catalogue.js").Entry} Entry */
/** @typedef {import("./channel.js").ChannelState} ChannelState */
/** @typedef {import("./clock.js").Clock} Clock */
/** @typedef {import("./download.js").Outcome} Outcome */
/** @typedef {import("./download.js").Progress} Progress */
/** @typedef {import("./filefetch.js").FetchState} FetchState */
/** @typedef {import("./identity.js").Identity} Identity */
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./path.js").PathReport} PathReport */
/** @typedef {import("./peer.js").PeerOptions} PeerOptions */
/** @typedef {import("./pool.js").PoolOptions} PoolOptions */
/** @typedef {import("./socket.js").SocketOptions} SocketOptions */
/** @typedef {import("./target.js").Saved} Saved */
/** @typedef {import("./target.js").Sink} Sink */
/** @typedef {import("./target.js").Target} Target */

export { Catalogue } from "./catalogue.js";
export { Channel } from "./channel.js";
export { Connection } from "./connection.js";
export { Download } from "./download.js";
export * from "./errors.js";
export { FileFetch } from "./filefetch.js";
export { safeName, safePaths } from "./filename.js";
export { FileShare, Reception } from "./fileshare.js";
export { FolderTarget } from "./folder.js";
export { createIdentity, isPeerId, restoreIdentity } from "./identity.js";
export { stretch } from "./key.js";
export { Link } from "./link.js";
export { Meter } from "./meter.js";
export { Peer } from "./peer.js";
export { PickedFileTarget } from "./pickedfile.js";
export { ConnectionPool } from "./pool.js";
export { PooledConnection } from "./pooled.js";
export { Presence } from "./presence.js";
export { KEY_BYTES, prove } from "./proof.js";
export { Receiver } from "./receiver.js";
export { Sender } from "./sender.js";
export { Socket } from "./socket.js";
export { MemoryTarget, openTarget } from "./target.js";
