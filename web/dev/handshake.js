/**
 * Two peers of this page shake hands over the broker, and report each step as it happens: what goes over the broker is
 * read from the frames of their sockets, the rest from their connection.
 */

import { Socket } from "../lib/index.js";
import { decode } from "../lib/channels/codec.js";
import { Peer, createIdentity } from "../lib/rtc/index.js";
import { recordedWebSocket } from "./recorded-web-socket.js";

/** @typedef {"a" | "broker" | "b"} Place */

/**
 * @typedef {object} Step
 * @property {Place} from
 * @property {Place} to
 * @property {string} label
 * @property {number} time ms since the start
 */

/** What the two peers send each other once they are connected. */
const GREETINGS = { a: "Hello from A", b: "Hello from B" };
/** Events that are steps of a handshake, when they are sent and when they arrive. */
const EVENTS = ["connect", "peer_connect", "offer", "answer", "candidate", "hangup", "busy"];

/**
 * @param {string} url of the socket
 * @param {(step: Step) => void} onStep
 * @param {AbortSignal} signal stops it
 * @returns {Promise<number>} ms until both had the other's message
 */
export async function shakeHands(url, onStep, signal) {
  const start = performance.now();
  const report = (/** @type {Place} */ from, /** @type {Place} */ to, /** @type {string} */ label) => {
    if (!signal.aborted) onStep({ from, to, label, time: performance.now() - start });
  };
  const [a, b] = await Promise.all([side("a", url, report), side("b", url, report)]);
  try {
    await Promise.all([a.peer.join({ signal }), b.peer.join({ signal })]);
    const arriving = new Promise((resolve) => b.peer.on("connection", resolve));
    const atA = await a.peer.connect(b.peer.id, { signal });
    const atB = /** @type {import("../lib/rtc/index.js").Connection} */ (await arriving);
    report("a", "b", "data channel open");
    await Promise.all([greet(atA, "a", report), greet(atB, "b", report)]);
    return performance.now() - start;
  } finally {
    a.close();
    b.close();
  }
}

/** @typedef {(from: Place, to: Place, label: string) => void} Report */

/**
 * @param {"a" | "b"} name
 * @param {string} url
 * @param {Report} report
 */
async function side(name, url, report) {
  const transport = recordedWebSocket((direction, frame) => {
    const label = labelOf(direction, frame);
    if (label) report(direction === "sent" ? name : "broker", direction === "sent" ? "broker" : name, label);
  });
  const socket = new Socket(url, { transport });
  const peer = new Peer(socket, await createIdentity());
  return {
    peer,
    close() {
      peer.close();
      socket.disconnect();
    },
  };
}

/**
 * @param {"sent" | "received"} direction
 * @param {string | ArrayBuffer} frame
 * @returns {string | null} null: it is no step, such as a heartbeat, or the reply to a signal
 */
function labelOf(direction, frame) {
  const { event, payload, joinRef, ref } = decode(frame);
  if (event === "phx_join") return "join";
  if (event === "phx_reply" && payload.status === "error") return `error: ${payload.response?.reason ?? "refused"}`;
  if (event === "phx_reply") return ref === joinRef ? "ok, joined" : null;
  return EVENTS.includes(event) && (direction === "sent" || event !== "connect") ? event : null;
}

/**
 * Sends a message, and waits for the other side's.
 *
 * @param {import("../lib/rtc/index.js").Connection} connection
 * @param {"a" | "b"} name of this side
 * @param {Report} report
 */
async function greet(connection, name, report) {
  const other = name === "a" ? "b" : "a";
  const channel = await connection.opened;
  channel.send({ type: "hello", text: GREETINGS[name] });
  await channel.receive();
  report(other, name, `“${GREETINGS[other]}”`);
}
