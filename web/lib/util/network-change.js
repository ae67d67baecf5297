/** Notices that the device has changed networks, as far as the platform reports it. */

/**
 * What the library needs of an `EventTarget`. It is written out, because Node.js programs have no such type.
 *
 * @typedef {object} Listenable
 * @property {(type: string, listener: (event: any) => void) => void} addEventListener
 * @property {(type: string, listener: (event: any) => void) => void} removeEventListener
 */

/**
 * @typedef {Listenable} Network fires `online` and
 *   may have a `navigator.connection`, as a browser's `window` does; Node's global object fires nothing
 */

/**
 * @param {Network} network
 * @param {() => void} onChange
 * @returns {() => void} removes the listeners
 */
export function onNetworkChange(network, onChange) {
  const { navigator } = /** @type {{navigator?: {connection?: EventTarget & {type?: string}}}} */ (network);
  const connection = navigator?.connection;
  let type = connection?.type;
  const onConnectionChange = () => {
    // `change` also fires for every new estimate of the speed of the same network.
    if (connection?.type === type) return;
    type = connection?.type;
    onChange();
  };
  network.addEventListener?.("online", onChange);
  connection?.addEventListener?.("change", onConnectionChange);
  return () => {
    network.removeEventListener?.("online", onChange);
    connection?.removeEventListener?.("change", onConnectionChange);
  };
}
