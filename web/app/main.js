/** The app's entry point: loads the user's language, and opens the sharing or the receiving view. */

import { readLink } from "../lib/share/share-link.js";
import { element, showText } from "./dom.js";
import { loadLanguage, t } from "./i18n.js";

await loadLanguage();
const unable = element("unable", HTMLElement);
const link = readLink();

if (!isSecureContext) showText(unable, t("insecure"));
else if (link === "none") (await import("./share-view.js")).openShareView();
else if (typeof link === "string") showText(unable, t(link));
else (await import("./receive-view.js")).openReceiveView(link);

// Another key in the same URL is another link.
addEventListener("hashchange", () => location.reload());
// A page that is restored from the browser's back/forward cache has lost its connections.
addEventListener("pageshow", (event) => event.persisted && location.reload());
