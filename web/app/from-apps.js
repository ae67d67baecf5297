/** What other apps have shared with the installed app: app-worker.js has kept it, and this page shares it. */

import { textFile } from "../lib/share/file-entry.js";
import { element, showText } from "./dom.js";
import { formatFiles, t } from "./i18n.js";

/** @typedef {import("./file-handles.js").PickedFile} PickedFile */

/** As in app-worker.js. */
const CACHE = "handclasp.shared.";

/**
 * @param {URLSearchParams} query of the page, to which the worker or the server has led
 * @param {Promise<unknown>} share of this tab before a reload; null if there was none
 * @param {(files: PickedFile[]) => Promise<void>} add starts a share, or adds to it
 */
export async function shareFromApps(query, share, add) {
  const name = `${CACHE}${query.get("shared") ?? ""}`;
  const files = (await caches.has(name)) ? await read(await caches.open(name)) : [];
  const finish = () => {
    history.replaceState(null, "", location.pathname);
    return caches.delete(name);
  };
  if (files.length === 0) {
    showText(element("share-error", HTMLElement), t("not_shared"));
    await finish();
  } else if (await share) {
    ask(files, async () => {
      await add(files);
      await finish();
    });
  } else {
    await add(files);
    await finish();
  }
}

/**
 * Every receiver that has the link of the running share could get the files too.
 *
 * @param {PickedFile[]} files
 * @param {() => void} onAdd
 */
function ask(files, onAdd) {
  const place = element("from-apps", HTMLElement);
  const entries = files.map(({ file, path }) => ({ id: "", path, size: file.size, type: "" }));
  showText(element("from-apps-text", HTMLElement), t("from_apps", formatFiles(entries)));
  place.hidden = false;
  element("from-apps-add", HTMLElement).onclick = () => {
    place.hidden = true;
    element("add-more", HTMLElement).focus();
    onAdd();
  };
  // The page is loaded again without a share, with the same address, and shares the files.
  element("from-apps-new", HTMLElement).onclick = () => {
    place.hidden = true;
    element("stop", HTMLElement).click();
  };
}

/**
 * @param {Cache} cache
 * @returns {Promise<PickedFile[]>} they can be read when the cache is deleted, too
 */
async function read(cache) {
  const found = await Promise.all(Array.from(await cache.keys(), async (key) => {
    const response = await cache.match(key);
    const name = new URL(key.url).searchParams.get("name");
    if (!response) return [];
    if (name === null) return [textFile(await response.text())];
    const blob = await response.blob();
    return [new File([blob], name || "file", { type: blob.type })];
  }));
  return found.flat().map((file) => ({ file, path: [file.name] }));
}
