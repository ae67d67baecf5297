/** Notices that a page is shown again, after the device may have slept or changed networks unseen. */

/**
 * @typedef {import("./network-change.js").Listenable} Page fires `pageshow`, and may have
 *   a `document`, as a browser's `window` does; Node's global object fires nothing
 */

/**
 * @param {Page} page
 * @param {() => void} onReturn the page became visible, was restored from the back/forward cache, or was unfrozen
 * @returns {() => void} removes the listeners
 */
export function onPageReturn(page, onReturn) {
  const { document } = /** @type {{document?: EventTarget & {visibilityState: string}}} */ (page);
  const onVisibilityChange = () => document?.visibilityState === "visible" && onReturn();
  const onPageShow = (/** @type {Event & {persisted?: boolean}} */ { persisted }) => persisted && onReturn();
  document?.addEventListener("visibilitychange", onVisibilityChange);
  document?.addEventListener("resume", onReturn);
  page.addEventListener?.("pageshow", onPageShow);
  return () => {
    document?.removeEventListener("visibilitychange", onVisibilityChange);
    document?.removeEventListener("resume", onReturn);
    page.removeEventListener?.("pageshow", onPageShow);
  };
}
