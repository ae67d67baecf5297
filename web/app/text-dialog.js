/** Takes a text from the user: typed into a dialog, or pasted anywhere on the page. */

import { textFile } from "../lib/share/file-entry.js";
import { element, isIntoField, showText } from "./dom.js";
import { t } from "./i18n.js";

/**
 * A pasted text is shown before it is shared, because a clipboard often has something that is nobody's business.
 *
 * @param {HTMLElement[]} buttons that open the dialog
 * @param {(file: import("../lib/share/file-entry.js").FileSource) => void} onText
 */
export function acceptTexts(buttons, onText) {
  const dialog = element("text-dialog", HTMLDialogElement);
  const field = element("text", HTMLTextAreaElement);
  const error = element("text-error", HTMLElement);
  const open = (/** @type {string} */ text) => {
    if (dialog.open) return;
    field.value = text;
    showText(error, "");
    dialog.showModal();
    field.focus();
  };
  for (const button of buttons) button.addEventListener("click", () => open(""));
  addEventListener("paste", (event) => {
    if (isIntoField(event)) return;
    const { clipboardData } = event;
    const text = clipboardData?.files.length ? "" : (clipboardData?.getData("text/plain") ?? "");
    if (text !== "") open(text);
  });
  // The browser shows that files cannot be dropped on the dialog. This says what to do instead.
  addEventListener("dragover", ({ dataTransfer }) => {
    if (dialog.open && dataTransfer?.types.includes("Files")) showText(error, t("text_drop"));
  });
  element("text-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value === "") return field.focus();
    const file = textFile(field.value);
    if (!file.isText) return showText(error, t("text_too_long"));
    onText(file);
    field.value = "";
    dialog.close();
  });
  element("text-cancel", HTMLElement).addEventListener("click", () => dialog.close());
}
