/** `handclasp/rtc`: WebRTC connections between peers, and a pool of them. */

/** @typedef {import("./fingerprints.js").Fingerprints} Fingerprints */
/** @typedef {import("./ice-report.js").IceReport} IceReport */
/** @typedef {import("./identity.js").Identity} Identity */
/** @typedef {import("./message-channel.js").RtcMessageChannel} RtcMessageChannel */
/** @typedef {import("./peer.js").PeerOptions} PeerOptions */
/** @typedef {import("./peer.js").Welcome} Welcome */
/** @typedef {import("./pool/connection-factory.js").BrokerOptions} BrokerOptions */
/** @typedef {import("./pool/connection-pool.js").PoolOptions} PoolOptions */

export { Connection } from "./connection.js";
export { PeerError } from "./errors.js";
export { createIdentity, isPeerId, namedIdentity, peerIdOf, restoreIdentity } from "./identity.js";
export { Peer } from "./peer.js";
export { ConnectionFactory } from "./pool/connection-factory.js";
export { ConnectionPool } from "./pool/connection-pool.js";
export { PooledConnection } from "./pool/pooled-connection.js";
