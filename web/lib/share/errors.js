/** Errors of sharing and fetching files. */

import { HandclaspError } from "../util/errors.js";

/**
 * The two sides did not prove to each other that they belong together. `reason` is one of: `wrong_key`
 * (another key, or an intercepted connection), `wrong_password` (also if only one side has a password),
 * `version` (the two sides run different versions).
 */
export class ProofError extends HandclaspError {
  name = "ProofError";
}

/**
 * A file did not arrive completely. `reason` is one of: `hash` (the bytes differ from the announced
 * hash), `changed` (the sender's file has changed), `unreadable` (the sender cannot read it any more),
 * `removed` (it is no longer shared), `storage` (the receiver cannot write; what it has is kept),
 * `place` (the file or folder that the user picked is not writable), `busy_disk` (another tab is writing
 * the file), `too_large`, `too_many` (files), `list_too_large` (their names together), `stalled`,
 * `stopped` (the browser aborted its own download), `cancelled` (by either side), `ended` (the sender has
 * stopped sharing), `used` (the share was for one download, which is complete), `expired` (the share was
 * for a time that is over), `refused` (the other side gave up on the file).
 */
export class TransferError extends HandclaspError {
  name = "TransferError";
}
