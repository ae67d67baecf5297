/** Runs the check of ICE, and shows what it found. */

import { element, make, showNotice } from "./dom.js";
import { sentenceOf } from "./failures.js";
import { findingsOf } from "./ice-advice.js";
import { askBrokerForServers, checkIce } from "./ice-check.js";

/** The marks beside the colours, for those who do not see these. */
const MARKS = { good: "✓", wait: "!", bad: "✕" };
const WORDS = { good: "Good: ", wait: "Note: ", bad: "Problem: " };

/** @param {string} url of the socket */
export function openIceCheck(url) {
  const button = element("check-ice", HTMLButtonElement);
  const state = element("ice-state", HTMLElement);
  const list = element("findings", HTMLElement);
  const leaving = new AbortController();
  addEventListener("pagehide", () => leaving.abort());
  button.addEventListener("click", async () => {
    button.disabled = true;
    list.replaceChildren();
    showNotice(state, "Asking the broker for its servers, and each of these for an address. A silent server takes up to 15 seconds.", "wait");
    try {
      const findings = findingsOf(await checkIce(await askBrokerForServers(url, leaving.signal)));
      list.replaceChildren(...findings.slice(1).map(rowOf));
      showNotice(state, `${findings[0].title}. ${findings[0].text}`, findings[0].kind);
    } catch (error) {
      showNotice(state, sentenceOf(error), "bad");
    }
    button.textContent = "Check again";
    button.disabled = false;
  });
}

/** @param {import("./ice-advice.js").Finding} finding */
function rowOf({ kind, title, text }) {
  const mark = make("span", `mark ${kind}`, MARKS[kind]);
  mark.setAttribute("aria-hidden", "true");
  const heading = make("strong", "", make("span", "visually-hidden", WORDS[kind]), title);
  return make("li", "", mark, make("div", "", heading, make("p", "quiet", text)));
}
