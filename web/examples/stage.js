/** What both calls need of a page: elements, words, a video for each person, and tracks. */

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

/** @param {string} words */
export function say(words) {
  element("status", HTMLElement).textContent = words;
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
   * @param {string} name never read as HTML
   * @param {MediaStream} stream
   * @param {object} [options]
   * @param {boolean} [options.muted] for one's own
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
 * Sends the own tracks over an open connection and collects the other side's. Adding them
 * is enough: the library negotiates them with the other side.
 *
 * @param {import("../lib/index.js").Connection} connection
 * @param {MediaStream} own
 * @returns {MediaStream} the other side's, which fills as its tracks come
 */
export function exchangeTracks({ pc }, own) {
  // The other side may have been quicker, and its tracks be here already.
  const other = new MediaStream(pc.getReceivers().map(({ track }) => track));
  pc.addEventListener("track", ({ track }) => other.addTrack(track));
  for (const track of own.getTracks()) pc.addTrack(track, own);
  return other;
}
