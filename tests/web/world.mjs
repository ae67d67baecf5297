/**
 * A small world for several peers in one process: a broker that delivers in any order that
 * the real one may, and RTCPeerConnections that keep the rules of signalling and open when
 * offer and answer have met. No network, no time of its own.
 */

import { fakeChannelPair, settle } from "./fake.mjs";

/** The broker: `peer:<id>` topics alone. What each client sends and gets stays in order. */
export class FakeBroker {
  /** @type {Array<Array<() => void>>} one queue a direction and client */
  #queues = [];
  /** @type {Map<string, (event: string, payload: any) => void>} who is joined */
  #joined = new Map();
  #random;

  /** @param {() => number} random decides whose message goes next */
  constructor(random) {
    this.#random = random;
    const broker = this;
    this.Transport = class {
      #up = broker.#queue();
      #down = broker.#queue();
      constructor() {
        this.#down.push(() => this.onopen());
      }
      send(frame) {
        this.#up.push(() => broker.#receive(JSON.parse(frame), (message) => this.#hear(message)));
      }
      #hear(message) {
        this.#down.push(() => this.onmessage({ data: JSON.stringify(message) }));
      }
      close() {}
    };
  }

  /** Delivers until nothing is on its way. */
  async run() {
    // A client that is at work on a description speaks a few turns later.
    for (let idle = 0; idle < 8; idle++) {
      await settle();
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

  #receive([joinRef, ref, topic, event, payload], hear) {
    const answer = (status, response) => hear([joinRef, ref, topic, "phx_reply", { status, response }]);
    const own = topic.slice("peer:".length);
    if (event === "phx_join") {
      this.#joined.set(own, (name, body) => hear([null, null, topic, name, body]));
      return answer("ok", { peer_id: own, ice_servers: [] });
    }
    const deliver = this.#joined.get(payload.peer_id);
    if (!deliver) return answer("error", { reason: "peer_not_found" });
    deliver(event === "connect" ? "peer_connect" : event, { ...payload, peer_id: own });
    answer("ok", {});
  }
}

/** RTCPeerConnections that find each other by their descriptions. */
export class FakeNet {
  /** @type {Map<string, FakePc>} by the sdp that each has made */
  pcs = new Map();
  #made = 0;

  create = (config) => new FakePc(this, config);

  /** @param {FakePc} pc */
  describe(pc, type, to = "") {
    this.#made += 1;
    const sdp = `v=0 ${this.#made} ${type} ${to}\r\na=fingerprint:sha-256 ${pc.fingerprint}\r\n`;
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
  /** How often offer and answer have met. */
  rounds = 0;
  restarts = 0;
  closed = false;
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

  /** Something was added that the other side has to know of. */
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
    // The answerer is first to know; both are open when the offerer has its answer.
    if (this.localDescription.type !== "offer") return;
    const other = this.#net.pcs.get(this.remoteDescription.sdp);
    if (other.closed || !this.remoteDescription.sdp.includes(this.localDescription.sdp.slice(0, 10))) return;
    for (const pc of [this, other]) pc.channel.dispatchEvent(new Event("open"));
  }
}
