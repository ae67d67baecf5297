/** Shared by both calls: elements of the page, status messages, the link, mute, a video for each person, and tracks. */

import { HandclaspError } from "../lib/index.js";

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

/**
 * @param {string} text
 * @param {"neutral" | "good" | "wait" | "bad"} [mood]
 */
export function showStatus(text, mood = "neutral") {
  const place = element("status", HTMLElement);
  place.className = `notice ${mood}`;
  place.hidden = text === "";
  if (place.textContent !== text) place.textContent = text;
}

/** @returns {Promise<MediaStream>} once the person has agreed */
export async function openCamera() {
  if (!navigator.mediaDevices) throw new DOMException("no camera without TLS", "SecurityError");
  return navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } });
}

/** @type {Record<string, string>} by the name of an exception of the browser, or the reason of an error of the library */
const FAILURES = {
  NotAllowedError: "The browser was not allowed to use camera and microphone. Allow it beside the address, then try again.",
  NotFoundError: "This device has no camera or no microphone.",
  NotReadableError: "Another program uses the camera or the microphone. Close it, then try again.",
  SecurityError: "The browser gives camera and microphone only to pages with https.",
  absent: "The other person is not online. Ask for a new link.",
  busy: "This call has two people already. Ask for a link of your own.",
  no_path: "The two networks do not let you connect directly. The broker needs a TURN server for that.",
  timeout: "The server does not answer. Try again later.",
};

/**
 * @param {unknown} error
 * @returns {string} a sentence for the person
 */
export function sentenceOf(error) {
  const cause = error instanceof HandclaspError ? error.reason : error instanceof Error ? error.name : "";
  return FAILURES[cause] ?? "That did not work. Reload the page and try again.";
}

/**
 * Shows the link to send to others, with a button that copies it.
 *
 * @param {string} link
 */
export function showLink(link) {
  const field = element("link", HTMLInputElement);
  const copy = element("copy", HTMLButtonElement);
  field.value = link;
  element("invite", HTMLElement).hidden = false;
  field.addEventListener("focus", () => field.select());
  copy.addEventListener("blur", () => (copy.textContent = "Copy"));
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(link);
      copy.textContent = "Copied";
    } catch {
      field.select(); // no permission: the selected link can be copied with the keyboard
      copy.textContent = "Press Ctrl+C or ⌘C";
    }
  });
}

/**
 * Shows the buttons that mute this side, and the one that ends the call.
 *
 * @param {MediaStream} stream of this side
 * @param {() => void} end
 */
export function showControls(stream, end) {
  element("controls", HTMLElement).hidden = false;
  muteOnClick("microphone", stream.getAudioTracks(), ["Mute microphone", "Unmute microphone"]);
  muteOnClick("camera", stream.getVideoTracks(), ["Turn camera off", "Turn camera on"]);
  element("leave", HTMLButtonElement).addEventListener("click", end);
}

/**
 * @param {string} id of the button
 * @param {MediaStreamTrack[]} tracks
 * @param {[string, string]} labels while the tracks are sent, and while they are muted
 */
function muteOnClick(id, tracks, [on, off]) {
  const button = element(id, HTMLButtonElement);
  button.addEventListener("click", () => {
    const isMuted = button.textContent === on;
    // A disabled track sends silence, or black pictures: nothing has to be negotiated.
    for (const track of tracks) track.enabled = !isMuted;
    button.textContent = isMuted ? off : on;
  });
}

/** One person's video on the page. */
export class Tile {
  #item = document.createElement("li");
  #video = document.createElement("video");

  /**
   * @param {string} name shown as text, not as HTML
   * @param {MediaStream} stream
   * @param {object} [options]
   * @param {boolean} [options.isOwn] this side's own video: without its sound, and as in a mirror
   */
  constructor(name, stream, { isOwn = false } = {}) {
    const label = document.createElement("span");
    label.textContent = name;
    this.#video.setAttribute("aria-label", `Video of ${name}`);
    this.#video.muted = isOwn;
    this.#video.className = isOwn ? "mirrored" : "";
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
