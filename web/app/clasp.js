/**
 * The drawing of the page: a dot for each side, a line between them, and the two links of the logo, which close when
 * the sides connect. It only repeats what a text beside it says, so screen readers skip it. Its look is in style/base.css.
 */

import { createSvg } from "./dom.js";

/** @typedef {"idle" | "waiting" | "connecting" | "connected" | "failed"} ClaspState */

/**
 * Draws the clasp, or changes its state.
 *
 * @param {HTMLElement} place with the class `clasp`
 * @param {ClaspState} state
 */
export function showClasp(place, state) {
  if (!place.firstElementChild) place.append(draw());
  place.dataset.state = state;
}

function draw() {
  const svg = createSvg("svg", { viewBox: "0 0 320 40", "aria-hidden": "true" });
  // The links have the shape of the logo's, in the middle of the line. A half moves as a whole, below its dot.
  svg.append(
    side("near", "M17 20H145", "M157.6 14.4h-2.2a5.6 5.6 0 0 0 0 11.2h2.8a5.6 5.6 0 0 0 5.4-4.2", 10),
    side("far", "M175 20H303", "M162.4 25.6h2.2a5.6 5.6 0 0 0 0-11.2h-2.8a5.6 5.6 0 0 0-5.4 4.2", 310),
  );
  return svg;
}

/**
 * @param {string} name
 * @param {string} line
 * @param {string} link
 * @param {number} x of the dot
 */
function side(name, line, link, x) {
  const group = createSvg("g", { class: name });
  const half = createSvg("g", { class: "half" });
  half.append(createSvg("path", { class: "line", d: line }), createSvg("path", { d: link }));
  group.append(half, createSvg("circle", { cx: String(x), cy: "20", r: "7" }));
  return group;
}
