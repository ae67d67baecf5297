/** Shows an error on the page: what happened, what the user can do, and the technical side behind "Details". */

import { SignedOutError } from "./broker-socket.js";
import { errorKey, remedyOf, technicalText } from "./error-key.js";
import { errorDetails, errorText, t, texts } from "./i18n.js";

/**
 * @param {HTMLElement} place
 * @param {unknown} error null hides the place
 */
export function showProblem(place, error) {
  place.hidden = !error;
  if (!error) return place.replaceChildren();
  const key = errorKey(error, texts);
  const shown = document.createElement("div");
  shown.append(errorText(error));
  const details = key === "fail.other" ? technicalText(error) : errorDetails(error);
  if (details) shown.append(createDetails(details));
  if (error instanceof SignedOutError && error.signInPage) shown.append(createSignInLink(error.signInPage));
  if (remedyOf(key) === "reload") shown.append(createReloadButton());
  // Screen readers read every change of a live region, so the same text is not set again.
  if (place.textContent === shown.textContent) return;
  place.replaceChildren(...shown.childNodes);
  if (remedyOf(key) === "link") import("./link-form.js").then(({ createLinkForm }) => place.append(createLinkForm())).catch(() => {}); // the text says what helps
}

/** @param {string} text */
function createDetails(text) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const content = document.createElement("p");
  summary.textContent = t("details");
  content.textContent = text;
  details.append(summary, content);
  return details;
}

/** @param {string} address opens beside this page, which keeps its files */
function createSignInLink(address) {
  const line = document.createElement("p");
  const link = document.createElement("a");
  line.className = "beside";
  link.className = "button";
  link.href = address;
  link.target = "_blank";
  link.textContent = t("sign_in");
  line.append(link);
  return line;
}

/** @returns {HTMLElement} */
export function createReloadButton() {
  const line = document.createElement("p");
  const button = document.createElement("button");
  line.className = "beside";
  button.type = "button";
  button.textContent = t("reload");
  button.addEventListener("click", () => location.reload());
  line.append(button);
  return line;
}
