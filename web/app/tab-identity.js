/** The identity of a receiving tab. It is kept across reloads, so that the sender sees one receiver. */

import { createIdentity, restoreIdentity } from "../lib/rtc/identity.js";
import { acquire } from "./tab-lock.js";

/** The session storage item with the secret. */
const ITEM = "handclasp.receiver";

/** @returns {Promise<import("../lib/rtc/identity.js").Identity>} that no other tab uses */
export async function tabIdentity() {
  const secret = sessionStorage.getItem(ITEM);
  if (secret) {
    const identity = await restoreIdentity(secret);
    if (await acquire(`${ITEM}/${identity.peerId}`)) return identity;
  }
  // There is none yet, or this tab was duplicated.
  const identity = await createIdentity();
  sessionStorage.setItem(ITEM, identity.secret);
  await acquire(`${ITEM}/${identity.peerId}`);
  return identity;
}
