/** The library's public face: import from here. */

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
