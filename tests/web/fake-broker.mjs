/**
 * A fake broker and fake RTCPeerConnections for several peers in one process. The broker delivers in any
 * order that the real one may. The connections have the signaling states of WebRTC, and open when offer
 * and answer have been exchanged. There is no network and no timer.
 */

import { fakeChannelPair, settle } from "./fakes.mjs";

/** A broker with `peer:<id>` topics and watches. The order of each client's messages is kept. */
export class FakeBroker {
  /** @type {Array<Array<() => void>>} one queue per direction and client */
  #queues = [];
  /** @type {Map<string, (event: string, payload: any) => void>} joined peers */
  #joined = new Map();
  /** @type {Map<string, Map<string, (event: string, payload: any) => void>>} watchers, by the watched id */
  #watchers = new Map();
  #random;

  /** @param {() => number} random chooses the next message */
  constructor(random) {
    this.#random = random;
  }

  /**
   * A page's transport, and a function that closes the page: its messages in flight are lost.
   *
   * @returns {{Transport: any, vanish: () => void}}
   */
  page() {
    const broker = this;
    const up = this.#queue();
    const down = this.#queue();
    let gone = false;
    class Transport {
      constructor() {
        down.push(() => this.onopen());
      }
      send(frame) {
        if (!gone) up.push(() => broker.#receive(JSON.parse(frame), (message) => this.#hear(message)));
      }
      #hear(message) {
        if (!gone) down.push(() => this.onmessage({ data: JSON.stringify(message) }));
      }
      close() {}
    }
    const vanish = () => {
      gone = true;
      up.length = 0;
      down.length = 0;
    };
    return { Transport, vanish };
  }

  /**
   * The broker notices that a peer is gone.
   *
   * @param {string} id
   */
  forget(id) {
    for (const watchers of this.#watchers.values()) watchers.delete(id);
    if (this.#joined.delete(id)) this.#tellWatchers(id, "peer_down");
  }

  /**
   * Delivers until no message is in flight.
   *
   * @param {number} [most] messages at most
   */
  async run(most = Infinity) {
    // A client that handles a description sends a few turns later.
    for (let idle = 0; idle < 8; idle++) {
      await settle();
      if (most-- <= 0) return;
      const busy = this.#queues.filter((queue) => queue.length > 0);
      if (busy.length === 0) continue;
      idle = 0;
      busy[Math.floor(this.#random() * busy.length)].shift()();
    }
  }

  #queue() {
    const queue = [];
    this.#queues.push(queue);
    return queue;
  }

  #tellWatchers(id, event) {
    for (const tell of this.#watchers.get(id)?.values() ?? []) tell(event, { peer_id: id });
  }

  #receive([joinRef, ref, topic, event, payload], hear) {
    const answer = (status, response) => hear([joinRef, ref, topic, "phx_reply", { status, response }]);
    const own = topic.slice("peer:".length);
    if (event === "phx_join") {
      this.#joined.set(own, (name, body) => hear([null, null, topic, name, body]));
      for (const watchers of this.#watchers.values()) watchers.delete(own);
      answer("ok", { peer_id: own, ice_servers: [] });
      return this.#tellWatchers(own, "peer_up");
    }
    if (event === "watch") {
      const watchers = this.#watchers.get(payload.peer_id) ?? new Map();
      this.#watchers.set(payload.peer_id, watchers.set(own, (name, body) => hear([null, null, topic, name, body])));
      return answer("ok", { online: this.#joined.has(payload.peer_id) });
    }
    const deliver = this.#joined.get(payload.peer_id);
    if (!deliver) return answer("error", { reason: "peer_not_found" });
    deliver(event === "connect" ? "peer_connect" : event, { ...payload, peer_id: own });
    answer("ok", {});
  }
}

/** Creates RTCPeerConnections that find each other by their descriptions. */
export class FakeNet {
  /** @type {FakePc[]} created by one page */
  made = [];

  /** @param {Map<string, FakePc>} pcs of all pages, by their SDPs */
  constructor(pcs) {
    this.pcs = pcs;
  }

  create = (config) => {
    this.made.push(new FakePc(this, config));
    return this.made.at(-1);
  };

  /** @param {FakePc} pc */
  describe(pc, type, to = "") {
    const sdp = `v=0 ${this.pcs.size + 1} ${type} ${to}\r\na=fingerprint:sha-256 ${pc.fingerprint}\r\n`;
    this.pcs.set(sdp, pc);
    return { type, sdp };
  }
}

export class FakePc extends EventTarget {
  signalingState = "stable";
  connectionState = "new";
  iceConnectionState = "new";
  localDescription = null;
  remoteDescription = null;
  fingerprint = "AA:BB";
  /** How many offer/answer exchanges are complete. */
  rounds = 0;
  restarts = 0;
  closed = false;
  /** Whether its channel has opened. */
  isOpen = false;
  #net;
  #config;
  #needed = false;
  #stableRemote = null;

  constructor(net, config) {
    super();
    this.#net = net;
    this.#config = config;
    [this.channel, this.far] = fakeChannelPair();
  }

  getConfiguration() {
    return this.#config;
  }

  createDataChannel() {
    return this.channel;
  }

  restartIce() {
    this.restarts += 1;
    this.need();
  }

  /** Simulates a change that needs a negotiation. */
  need() {
    this.#needed = true;
    queueMicrotask(() => this.#ask());
  }

  async setLocalDescription() {
    await settle();
    this.#assertOpen();
    const answers = this.signalingState === "have-remote-offer";
    if (!answers) this.#needed = false;
    this.localDescription = this.#net.describe(this, answers ? "answer" : "offer", answers ? this.remoteDescription.sdp : "");
    this.signalingState = answers ? "stable" : "have-local-offer";
    if (answers) this.#met();
  }

  async setRemoteDescription(description) {
    await settle();
    this.#assertOpen();
    const { type, sdp } = description;
    if (type === "answer" && this.signalingState !== "have-local-offer") throw new Error("InvalidStateError");
    if (type === "offer" && this.signalingState === "have-local-offer") this.#needed = true; // rolled back
    this.remoteDescription = { type, sdp };
    this.signalingState = type === "offer" ? "have-remote-offer" : "stable";
    if (type === "answer") this.#met();
    this.#stableRemote = sdp;
  }

  async addIceCandidate() {
    if (!this.#stableRemote) throw new Error("InvalidStateError");
  }

  close() {
    this.closed = true;
    this.channel.close();
  }

  #ask() {
    if (!this.#needed || this.closed || this.signalingState !== "stable") return;
    this.dispatchEvent(new Event("negotiationneeded"));
  }

  #assertOpen() {
    if (this.closed) throw new Error("InvalidStateError: closed");
  }

  #met() {
    this.rounds += 1;
    queueMicrotask(() => this.#ask());
    // The answerer completes first; both open when the offerer has the answer.
    if (this.localDescription.type !== "offer") return;
    const other = this.#net.pcs.get(this.remoteDescription.sdp);
    if (other.closed || !this.remoteDescription.sdp.includes(this.localDescription.sdp.slice(0, 10))) return;
    for (const pc of [this, other]) {
      pc.isOpen = true;
      pc.channel.dispatchEvent(new Event("open"));
    }
  }
}
