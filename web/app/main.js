/** The app's door: looks at the address and opens one of the two views. */

import { readLink } from "./address.js";
import { element, say } from "./page.js";
import { openReceive } from "./receive.js";
import { openShare } from "./share.js";
import { BAD_LINK, INSECURE } from "./words.js";

const unable = element("unable", HTMLElement);
const link = readLink();

if (!isSecureContext) say(unable, INSECURE);
else if (link === "none") openShare();
else if (link === "bad_id" || link === "no_key") say(unable, BAD_LINK[link]);
else openReceive(link);

// Another key typed into the same address is another invitation.
addEventListener("hashchange", () => location.reload());
// A page that comes back from the browser's cache has lost its connections.
addEventListener("pageshow", (event) => event.persisted && location.reload());
