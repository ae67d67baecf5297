/**
 * Offers to reload a page whose modules do not load. This script is not a module, so that it runs without them.
 * app/main.js removes the notice.
 */
{
  /** So long the modules may take on a slow network (ms). */
  const PATIENCE = 15_000;
  const show = () => document.getElementById("unloaded")?.removeAttribute("hidden");

  document.getElementById("reload")?.addEventListener("click", () => location.reload());
  document.getElementById("modules")?.addEventListener("error", show);
  setTimeout(show, PATIENCE);
}
