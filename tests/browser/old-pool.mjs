/**
 * A pool of PeerJS connections that behaves as webrtc-connectionpool 1.0 (2014) does, as far as a server and the other
 * peers can see. It runs in the page.
 *
 * - `create` calls wait for each other, first come first served. An open connection to the peer is used again.
 * - One connection a peer: a new one, from either side, ends the one before it.
 * - A connection opens once. On a busy machine, PeerJS 0.3 says twice that it is open.
 * - A connection ends with a packet that has the flag `FIN`, and is closed a while later.
 * - Whenever the server is lost, the peer reconnects at once. The original does so within PeerJS's event, in which
 *   PeerJS 0.3 has no id to reconnect with, and uses `undefined` as one. Here it does so after the event.
 */
export function oldPool() {
  const VERSION = [1, 0, 0];
  const packet = (flags, payload) => ({ id: Math.random().toString(36).slice(2, 10), version: VERSION, flags, payload });

  class Connection {
    constructor(pool, conn) {
      Object.assign(this, { pool, conn, peer: conn.peer, ended: false });
      conn.on("data", ({ version, flags, payload }) => {
        if (version[0] !== VERSION[0]) return;
        if (flags.FIN) return this.end(false);
        if (this.available) pool.keep(this);
        pool.ondata(this.peer, payload);
      });
      conn.on("close", () => this.end(false));
    }

    get available() {
      return !this.ended && this.conn.open;
    }

    send(payload) {
      this.conn.send(packet({}, payload));
      this.pool.keep(this);
    }

    end(tells = true) {
      if (this.ended) return;
      if (tells && this.conn.open) this.conn.send(packet({ FIN: true }, {}));
      this.ended = true;
      setTimeout(() => this.conn.close(), this.pool.closeDelay);
    }
  }

  window.OldPool = class {
    constructor({ id = undefined, options, closeDelay = 30_000 }) {
      Object.assign(this, { closeDelay, kept: new Map(), waiting: [], isOpening: false });
      this.opened = 0;
      this.connects = 0;
      this.losses = 0;
      this.ondata = () => {};
      this.peer = id === undefined ? new Peer(options) : new Peer(id, options);
      this.peer.on("open", () => {
        this.opened += 1;
      });
      this.peer.on("connection", (conn) => conn.once("open", () => this.take(conn)));
      this.peer.on("disconnected", () => {
        this.losses += 1;
        setTimeout(() => this.peer.reconnect());
      });
      this.peer.on("error", () => {});
    }

    /** Resolves with a connection to the peer. */
    create(peer) {
      return new Promise((resolve) => {
        this.waiting.push({ peer, resolve });
        this.next();
      });
    }

    next() {
      const first = this.waiting[0];
      if (!first || this.isOpening) return;
      const kept = this.kept.get(first.peer);
      if (kept?.available) {
        this.waiting.shift();
        first.resolve(kept);
        return this.next();
      }
      this.isOpening = true;
      this.connects += 1;
      const conn = this.peer.connect(first.peer);
      conn.once("open", () => {
        this.isOpening = false;
        this.waiting.shift();
        first.resolve(this.take(conn));
        this.next();
      });
    }

    /** A connection that has opened replaces the one to the same peer. */
    take(conn) {
      this.kept.get(conn.peer)?.end();
      this.kept.delete(conn.peer);
      return new Connection(this, conn);
    }

    /** A connection is kept once data has passed. */
    keep(connection) {
      const other = this.kept.get(connection.peer);
      if (other && other !== connection) other.end();
      this.kept.set(connection.peer, connection);
    }
  };
}
