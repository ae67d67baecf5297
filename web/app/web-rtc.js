/** Whether this browser can connect to another one. */

import { PeerError } from "../lib/rtc/errors.js";

/** @throws {PeerError} `no_webrtc`: an extension or a policy of the device forbids connections */
export function checkWebRtc() {
  try {
    new RTCPeerConnection().close();
  } catch (cause) {
    throw new PeerError("no_webrtc", "RTCPeerConnection cannot be created", { cause });
  }
}
