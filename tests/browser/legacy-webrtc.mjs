/**
 * WebRTC as browsers had it in 2014, where today's browsers have removed it: ICE servers with `url`. It runs in the
 * page, before the page's own scripts.
 */
export function legacyWebRtc() {
  const Current = window.RTCPeerConnection;
  /** @param {any} server */
  const current = ({ url, ...server }) => (url ? { urls: url, ...server } : server);
  window.RTCPeerConnection = /** @type {any} */ (
    class extends Current {
      /** @param {any} [config] */
      constructor(config = {}) {
        super({ ...config, iceServers: config.iceServers?.map(current) });
      }
    }
  );
}
