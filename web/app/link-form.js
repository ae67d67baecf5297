/** A field for a link that was copied completely, where the one in the address bar is of no use. */

import { readLink, readUrl } from "../lib/share/share-link.js";
import { t } from "./i18n.js";

/** @returns {HTMLFormElement} */
export function createLinkForm() {
  const form = document.createElement("form");
  const label = document.createElement("label");
  const field = document.createElement("div");
  const input = document.createElement("input");
  const open = document.createElement("button");
  const error = document.createElement("p");
  const share = document.createElement("a");
  form.className = "link-form";
  label.className = "field-label";
  field.className = "field";
  error.setAttribute("role", "alert");
  error.hidden = true;
  input.id = "pasted-link";
  label.htmlFor = input.id;
  label.textContent = t("paste_link");
  Object.assign(input, { type: "text", inputMode: "url", autocomplete: "off", spellcheck: false });
  open.textContent = t("open_link");
  share.href = "./";
  share.className = "button";
  share.textContent = t("send_instead");
  field.append(input, open);
  form.append(label, field, error, share);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const url = readUrl(input.value);
    error.hidden = url !== null && typeof readLink(url) !== "string";
    error.textContent = error.hidden ? "" : t("paste_bad");
    if (url && error.hidden) openLink(url);
  });
  return form;
}

/** @param {URL} url */
function openLink(url) {
  if (url.href === location.href) location.reload();
  else location.assign(url);
}
