/** The DTLS certificate fingerprints of session descriptions. */

import { ProtocolError } from "../util/errors.js";

/** @typedef {{local: string, remote: string}} Fingerprints of a connection's two ends, from `fingerprintsOf` */

/**
 * All fingerprints of a description. DTLS accepts a certificate that matches any of them, so an
 * additional one has to change the result as well.
 *
 * @param {string} sdp
 * @returns {string} algorithms and values in a canonical form
 * @throws {ProtocolError} the description has none
 */
export function fingerprintsOf(sdp) {
  const found = Array.from(sdp.matchAll(/^a=fingerprint:(\S+) +(\S+)/gm), ([, algorithm, value]) => {
    return `${algorithm.toLowerCase()} ${value.toUpperCase()}`;
  });
  if (found.length === 0) throw new ProtocolError("session description has no fingerprint");
  return [...new Set(found)].sort().join(",");
}
