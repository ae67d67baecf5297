/** The sharing view: waits for the first file, or goes on where a reload broke a share. */

import { acceptFiles } from "./file-input.js";
import { forget, recall } from "./saved-share.js";
import { element, say } from "./dom.js";
import { nameTab } from "./tab-progress.js";
import { failureText, t } from "./i18n.js";

/** @typedef {import("./active-share.js").Share} Share */

/** Shows the view; a share begins with the first file, or goes on where a reload broke it. */
export function openShare() {
  nameTab(t("title.share"));
  /** @type {Promise<Share | null>} */
  let share = recall().then((kept) => kept && start(kept));
  const inputs = ["file", "folder", "more", "more-folder"].map((id) => element(id, HTMLInputElement));
  acceptFiles(inputs, async (finding) => {
    try {
      const found = await finding;
      if (found.offers.length === 0) return;
      const begun = share.then((going) => going ?? start(null));
      share = begun.catch(() => null); // the next file is another try
      (await begun).add(found);
    } catch (error) {
      say(element("share-error", HTMLElement), failureText(error));
    }
  });
  element("stop", HTMLElement).addEventListener("click", async () => {
    (await share)?.stop();
    await forget();
    location.reload();
  });
  addEventListener("pagehide", async () => (await share)?.stop());
  // Not before it listens: a file picked earlier would be lost.
  element("share", HTMLElement).hidden = false;
}

/**
 * What shares is fetched with the first file: the page is there sooner without.
 *
 * @param {import("./saved-share.js").Keepsake | null} kept
 */
async function start(kept) {
  const { Share } = await import("./active-share.js");
  return Share.start(kept);
}
