/** Shared by both calls: elements of the page, status messages, a video for each person, and tracks. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new TypeError(`page has no ${kind.name} #${id}`);
  return found;
}

/** @param {string} text */
export function showStatus(text) {
  element("status", HTMLElement).textContent = text;
}

/** @returns {Promise<MediaStream>} once the person has agreed */
export function openCamera() {
  return navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } });
}

/** One person's video on the page. */
export class Tile {
  #item = document.createElement("li");
  #video = document.createElement("video");

  /**
   * @param {string} name shown as text, not as HTML
   * @param {MediaStream} stream
   * @param {object} [options]
   * @param {boolean} [options.muted] for this side's own video
   */
  constructor(name, stream, { muted = false } = {}) {
    const label = document.createElement("span");
    label.textContent = name;
    this.#video.setAttribute("aria-label", `Video of ${name}`);
    this.#video.muted = muted;
    this.#video.autoplay = true;
    this.#video.playsInline = true;
    this.#video.srcObject = stream;
    this.#item.append(this.#video, label);
    element("videos", HTMLElement).append(this.#item);
  }

  remove() {
    this.#video.srcObject = null;
    this.#item.remove();
  }
}

/**
 * Sends this side's tracks over an open connection and collects the other side's. The library negotiates
 * the tracks that are added.
 *
 * @param {import("../lib/rtc/index.js").Connection} connection
 * @param {MediaStream} own
 * @returns {MediaStream} the other side's; its tracks are added as they arrive
 */
export function exchangeTracks({ pc }, own) {
  // The other side's tracks may have arrived already.
  const other = new MediaStream(pc.getReceivers().map(({ track }) => track));
  pc.addEventListener("track", ({ track }) => other.addTrack(track));
  for (const track of own.getTracks()) pc.addTrack(track, own);
  return other;
}
