/**
 * WebRTC for node: connections of the package `@roamhq/wrtc`, which is Chromium's own code, made
 * to behave where it lags behind browsers. The rest of the library knows nothing of it.
 */

import { Complaint } from "./messages.js";

/** In a variable, since whoever installs the library for a browser need not have it. */
const PACKAGE = "@roamhq/wrtc";
/** How often a queue that is too long is looked at (ms). */
const LOOK = 2;

/**
 * @returns {Promise<(config: RTCConfiguration) => RTCPeerConnection>} for a `Peer`'s `createConnection`
 * @throws {Complaint} the package is not installed, or not made for this computer
 */
export async function loadWebRtc() {
  const { default: wrtc } = await import(PACKAGE).catch((error) => {
    throw new Complaint(
      `The package ${PACKAGE}, which speaks WebRTC for node, cannot be loaded. Install it beside handclasp ` +
        `(npm install ${PACKAGE}), or run: npx -p handclasp -p ${PACKAGE} -p ws handclasp …\n  (${firstLine(error)})`,
    );
  });
  return (config) => completed(new wrtc.RTCPeerConnection(config));
}

/**
 * @param {RTCPeerConnection} pc
 * @returns {RTCPeerConnection} the same, with what browsers do by themselves
 */
function completed(pc) {
  /** @type {(description: RTCSessionDescriptionInit) => Promise<void>} */
  const setLocal = pc.setLocalDescription.bind(pc);
  /** @type {(description: RTCSessionDescriptionInit) => Promise<void>} */
  const setRemote = pc.setRemoteDescription.bind(pc);
  const createDataChannel = pc.createDataChannel.bind(pc);
  return Object.assign(pc, {
    async setLocalDescription() {
      await setLocal(await (pc.signalingState === "have-remote-offer" ? pc.createAnswer() : pc.createOffer()));
    },
    async setRemoteDescription(/** @type {RTCSessionDescriptionInit} */ description) {
      // Two offers crossed, and this side is the one that gives way.
      const isCrossed = description.type === "offer" && pc.signalingState === "have-local-offer";
      if (isCrossed) await setLocal({ type: "rollback" });
      await setRemote(description);
    },
    createDataChannel(/** @type {string} */ label, /** @type {RTCDataChannelInit} */ init) {
      return tellingLow(createDataChannel(label, init));
    },
  });
}

/**
 * Tells `bufferedamountlow`, which the package does not have, and loses what is sent to a channel
 * that is just closing, as browsers do.
 *
 * @param {RTCDataChannel} channel
 */
function tellingLow(channel) {
  const { send } = channel;
  let isLooking = false;
  const look = () => {
    isLooking = channel.readyState === "open" && channel.bufferedAmount > channel.bufferedAmountLowThreshold;
    if (isLooking) setTimeout(look, LOOK);
    else channel.dispatchEvent(/** @type {Event} */ ({ type: "bufferedamountlow" }));
  };
  channel.send = (/** @type {any} */ data) => {
    try {
      send.call(channel, data);
    } catch (error) {
      // The package's own thread knows of the channel's end before `readyState` and `close` tell it.
      if (/** @type {Error} */ (error).name !== "InvalidStateError") throw error;
      return;
    }
    if (isLooking || channel.bufferedAmount <= channel.bufferedAmountLowThreshold) return;
    isLooking = true;
    setTimeout(look, LOOK);
  };
  return channel;
}

/** @param {any} error */
function firstLine(error) {
  return String(error?.message ?? error).split("\n", 1)[0];
}
