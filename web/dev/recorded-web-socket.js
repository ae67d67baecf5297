/** A WebSocket that reports its frames, for the option `transport` of a Socket. */

/**
 * @param {(direction: "sent" | "received", data: string | ArrayBuffer) => void} onFrame
 * @returns {new (url: string, protocols?: string[]) => WebSocket}
 */
export function recordedWebSocket(onFrame) {
  return class extends WebSocket {
    /**
     * @param {string} url
     * @param {string[]} [protocols]
     */
    constructor(url, protocols) {
      super(url, protocols);
      // Before the listeners of the Socket, so that the order of the frames is that of the wire.
      this.addEventListener("message", ({ data }) => onFrame("received", data));
    }

    /** @param {string | ArrayBuffer} data as the Socket encodes it */
    send(data) {
      onFrame("sent", data);
      super.send(data);
    }
  };
}
