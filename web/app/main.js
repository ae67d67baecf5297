/** The app's door: finds the person's language, looks at the address, and opens one of the two views. */

import { readLink } from "../lib/share/share-link.js";
import { element, say } from "./dom.js";
import { speak, t } from "./i18n.js";

await speak();
const unable = element("unable", HTMLElement);
const link = readLink();

if (!isSecureContext) say(unable, t("insecure"));
else if (link === "none") (await import("./share-view.js")).openShare();
else if (typeof link === "string") say(unable, t(link));
else (await import("./receive-view.js")).openReceive(link);

// Another key typed into the same address is another invitation.
addEventListener("hashchange", () => location.reload());
// A page that comes back from the browser's cache has lost its connections.
addEventListener("pageshow", (event) => event.persisted && location.reload());
