/** The sharing view: waits for the first file, or restores the share of a reloaded page. */

import { showClasp } from "./clasp.js";
import { announce, element, showText } from "./dom.js";
import { acceptFiles } from "./file-input.js";
import { t } from "./i18n.js";
import { removeLanguageSwitch } from "./language-switch.js";
import { showProblem } from "./problem.js";
import { deleteShare, loadShare } from "./saved-share.js";
import { setTabTitle } from "./tab-progress.js";
import { acceptTexts } from "./text-dialog.js";

/** @typedef {import("./active-share.js").ActiveShare} ActiveShare */
/** @typedef {import("./file-input.js").PickedFiles} PickedFiles */

export function openShareView() {
  setTabTitle(t("title.share"));
  showClasp(element("landing-clasp", HTMLElement), "idle");
  showHint();
  /** @type {Promise<ActiveShare | null>} */
  let share = loadShare().then((saved) => saved && start(saved));
  const showError = (/** @type {unknown} */ error) => showProblem(element("share-error", HTMLElement), error);
  share.catch(showError);
  // Without it, the button would pick files instead of folders.
  for (const id of ["folder", "more-folder"]) labelOf(id).hidden = !("webkitdirectory" in HTMLInputElement.prototype);
  const inputs = ["file", "folder", "more", "more-folder"].map((id) => element(id, HTMLInputElement));
  const add = async (/** @type {PickedFiles} */ picked, isFromApp = false) => {
    if (picked.files.length === 0) return;
    const started = share.then((current) => current ?? start(null));
    share = started.catch(() => null); // the next file tries again
    (await started).add(picked, { isFromApp });
  };
  acceptFiles(inputs, (picked) => picked.then((files) => add(files)).catch(showError));
  const texts = ["write-text", "more-text"].map((id) => element(id, HTMLElement));
  acceptTexts(texts, (file) => add({ files: [{ file, path: [file.name] }], handles: [] }).catch(showError));
  const stop = element("stop", HTMLButtonElement);
  stop.addEventListener("click", async () => {
    // On a slow uplink, the last messages to the receivers take a while.
    stop.disabled = true;
    stop.textContent = t("stopping");
    announce(t("stopping"));
    await (await share)?.end();
    await deleteShare();
    location.reload();
  });
  addEventListener("pagehide", async () => (await share)?.stop());
  // Shown only now, because a file that is picked before the listeners exist would be lost.
  element("share", HTMLElement).hidden = false;
  const query = new URLSearchParams(location.search);
  if (!query.has("shared") && !query.has("not_shared")) return;
  import("./from-apps.js").then(({ shareFromApps }) => shareFromApps(query, share, (files) => add({ files, handles: [] }, true))).catch(showError);
}

/** A finger alone can neither drop nor paste files, so the page says it only where there is a mouse or the like. */
function showHint() {
  if (!matchMedia("(any-pointer: fine)").matches) return;
  showText(element("file-hint", HTMLElement), t("choose_hint"));
  element("file", HTMLInputElement).setAttribute("aria-describedby", "file-hint");
}

/** @param {string} id of an input */
function labelOf(id) {
  return /** @type {HTMLElement} */ (element(id, HTMLInputElement).labels?.[0]);
}

/**
 * Loads the sharing code with the first file, so that the page opens faster.
 *
 * @param {import("./saved-share.js").SavedShare | null} saved
 */
async function start(saved) {
  removeLanguageSwitch();
  const { ActiveShare } = await import("./active-share.js");
  return ActiveShare.start(saved);
}
