/** The library's public face: import from here. */

export { Channel } from "./channel.js";
export { Connection } from "./connection.js";
export { digest, digestInWorker } from "./digest.js";
export * from "./errors.js";
export { safeName } from "./filename.js";
export { createIdentity, isPeerId, restoreIdentity } from "./identity.js";
export { Link } from "./link.js";
export { Meter } from "./meter.js";
export { Peer } from "./peer.js";
export { ConnectionPool } from "./pool.js";
export { PooledConnection } from "./pooled.js";
export { Presence } from "./presence.js";
export { KEY_BYTES, prove } from "./proof.js";
export { Receiver } from "./receiver.js";
export { Sender } from "./sender.js";
export { MemorySink, openSink } from "./sink.js";
export { Socket } from "./socket.js";
