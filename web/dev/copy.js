/** Buttons that copy a text, or select it where the page has no access to the clipboard. */

/**
 * @param {HTMLButtonElement} button
 * @param {() => string} text
 * @param {HTMLElement} source shows the text
 */
export function copyOnClick(button, text, source) {
  const label = button.textContent;
  button.addEventListener("blur", () => (button.textContent = label));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      getSelection()?.selectAllChildren(source); // no permission, or a page without TLS
      button.textContent = "Selected: press Ctrl+C or ⌘C";
    }
  });
}
