/** A peer at a fake server, to which the test sends all signals. */

import assert from "node:assert/strict";
import { Socket } from "../../web/lib/index.js";
import { Peer } from "../../web/lib/rtc/index.js";
import { FakeClock, FakeServer, fakeChannelPair, settle } from "./fakes.mjs";

export const ME = { peerId: "4bb06f8e-4e3a-8715-9201-d573d0aa4237", secret: "c2VjcmV0" };
export const OTHER = "11111111-1111-8111-8111-111111111111";
export const TOPIC = `peer:${ME.peerId}`;
export const SDP = "v=0\r\na=fingerprint:sha-256 AA:BB\r\n";

/** The part of RTCPeerConnection that the library uses; `open()` simulates the network. */
export class FakePc extends EventTarget {
  signalingState = "stable";
  connectionState = "new";
  iceConnectionState = "new";
  localDescription = null;
  remoteDescription = null;
  candidates = [];
  restarts = 0;
  closed = false;
  /** Lines of its next description. */
  extraSdp = "";

  constructor(config) {
    super();
    this.config = config;
  }
  getConfiguration() {
    return this.config;
  }
  createDataChannel(label, options) {
    this.channelOptions = { label, ...options };
    [this.channel] = fakeChannelPair();
    return this.channel;
  }
  async setLocalDescription() {
    this.signalingState = this.signalingState === "have-remote-offer" ? "stable" : "have-local-offer";
    const type = this.signalingState === "stable" ? "answer" : "offer";
    this.localDescription = { type, sdp: SDP + this.extraSdp };
  }
  async setRemoteDescription(description) {
    if (!description.sdp.startsWith("v=0")) throw new Error("sdp cannot be parsed");
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
    this.remoteDescription = description;
  }
  async addIceCandidate(candidate) {
    assert.ok(this.remoteDescription, "a candidate came before the description");
    this.candidates.push(candidate);
  }
  restartIce() {
    this.restarts += 1;
    this.dispatchEvent(new Event("negotiationneeded"));
  }
  ice(state) {
    this.iceConnectionState = state;
    this.dispatchEvent(new Event("iceconnectionstatechange"));
  }
  open() {
    this.channel.dispatchEvent(new Event("open"));
  }
  fail() {
    this.connectionState = "failed";
    this.dispatchEvent(new Event("connectionstatechange"));
  }
  close() {
    this.closed = true;
  }
}

/** A peer that has not joined. */
export function unjoined({ network = new EventTarget(), ...options } = {}) {
  const server = new FakeServer();
  const clock = new FakeClock();
  const socket = new Socket("ws://example.test/socket", { transport: server.Transport, clock, network, fetch: null });
  /** @type {FakePc[]} */
  const pcs = [];
  const createConnection = (config) => (pcs.push(new FakePc(config)), pcs.at(-1));
  const peer = new Peer(socket, ME, { createConnection, ...options });
  return { server, clock, socket, peer, pcs };
}

export async function setUp({ maxMessageBytes = undefined, ...options } = {}) {
  const { server, clock, peer, pcs } = unjoined(options);
  const join = peer.join();
  server.last.accept();
  server.last.reply("phx_join", "ok", { peer_id: ME.peerId, ice_servers: [{ urls: "stun:stun.test" }], max_message_bytes: maxMessageBytes });
  await join;
  const push = (event, payload) => server.last.say([null, null, TOPIC, event, payload]);
  return { server, clock, peer, pcs, push };
}

export const offer = (attempt, sdp = SDP) => ({ peer_id: OTHER, attempt, description: { type: "offer", sdp } });

/** A call whose `connect` was delivered by the broker. */
export async function calling({ network, ...options } = {}) {
  const all = await setUp({ network });
  const call = all.peer.connect(OTHER, options);
  all.server.last.reply("connect", "ok", {});
  await settle();
  return { ...all, call };
}
