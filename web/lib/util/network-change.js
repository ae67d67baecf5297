/** Tells when the device's way into the network has changed, as far as the platform says. */

/**
 * @typedef {Pick<EventTarget, "addEventListener" | "removeEventListener">} Network fires
 *   `online`; may have a `navigator.connection`. The window is one; node's global is none.
 */

/**
 * @param {Network} network
 * @param {() => void} changed
 * @returns {() => void} call it to stop listening
 */
export function onNetworkChange(network, changed) {
  const { navigator } = /** @type {{navigator?: {connection?: EventTarget & {type?: string}}}} */ (network);
  const connection = navigator?.connection;
  let type = connection?.type;
  const retyped = () => {
    // `change` also tells of every new estimate of the speed, on the same network.
    if (connection?.type === type) return;
    type = connection?.type;
    changed();
  };
  network.addEventListener?.("online", changed);
  connection?.addEventListener?.("change", retyped);
  return () => {
    network.removeEventListener?.("online", changed);
    connection?.removeEventListener?.("change", retyped);
  };
}
