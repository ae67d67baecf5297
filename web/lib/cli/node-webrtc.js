/**
 * WebRTC for Node.js: connections of the package `@roamhq/wrtc`, which is Chromium's code, with the
 * behaviour of current browsers where the package differs from them.
 */

/** How often the length of a full send buffer is checked (ms). */
const CHECK_INTERVAL = 2;

/**
 * @param {any} wrtc the package
 * @returns {(config: RTCConfiguration) => RTCPeerConnection} for a `Peer`'s `createConnection`
 */
export function webRtcOf(wrtc) {
  return (config) => adapt(new wrtc.RTCPeerConnection(config));
}

/**
 * @param {RTCPeerConnection} pc
 * @returns {RTCPeerConnection} the same object, with the behaviour of browsers
 */
function adapt(pc) {
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
      // Glare: two offers collided, and this side is the polite one.
      const isGlare = description.type === "offer" && pc.signalingState === "have-local-offer";
      if (isGlare) await setLocal({ type: "rollback" });
      await setRemote(description);
    },
    createDataChannel(/** @type {string} */ label, /** @type {RTCDataChannelInit} */ init) {
      return adaptDataChannel(createDataChannel(label, init));
    },
  });
}

/**
 * Adds the event `bufferedamountlow`, which the package does not fire, and drops messages that are sent
 * while the channel is closing, as browsers do.
 *
 * @param {RTCDataChannel} channel
 */
function adaptDataChannel(channel) {
  const { send } = channel;
  let isChecking = false;
  const check = () => {
    isChecking = channel.readyState === "open" && channel.bufferedAmount > channel.bufferedAmountLowThreshold;
    if (isChecking) setTimeout(check, CHECK_INTERVAL);
    else channel.dispatchEvent(/** @type {Event} */ ({ type: "bufferedamountlow" }));
  };
  channel.send = (/** @type {any} */ data) => {
    try {
      send.call(channel, data);
    } catch (error) {
      // The package's thread knows that the channel has closed before `readyState` and `close` show it.
      if (/** @type {Error} */ (error).name !== "InvalidStateError") throw error;
      return;
    }
    if (isChecking || channel.bufferedAmount <= channel.bufferedAmountLowThreshold) return;
    isChecking = true;
    setTimeout(check, CHECK_INTERVAL);
  };
  return channel;
}
