/** The console: joins one topic, pushes events, and shows the frames and the presence list. */

import { Presence, Socket } from "../lib/index.js";
import { copyOnClick } from "./copy.js";
import { element, make, showNotice } from "./dom.js";
import { sentenceOf } from "./failures.js";
import { FrameView } from "./frame-view.js";
import { recordedWebSocket } from "./recorded-web-socket.js";

/** Rows of the presence list that are shown. */
const PRESENCE_LIMIT = 100;

/** @param {string} url of the socket */
export function openConsole(url) {
  const frames = new FrameView(element("frames", HTMLElement), element("frames-state", HTMLElement));
  const join = element("join-form", HTMLFormElement);
  const push = element("push-form", HTMLFormElement);
  const state = element("console-state", HTMLElement);
  /** @type {Session | null} */
  let session = null;

  join.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (session) return leave();
    const params = readJson(element("params", HTMLTextAreaElement));
    if (params === undefined) return showNotice(state, "The params are not JSON.", "bad");
    session = new Session(url, element("topic", HTMLInputElement).value, params, frames);
    showJoined(true);
    showNotice(state, "Joining…", "wait");
    const mine = session;
    const failure = await mine.join().then(() => null, sentenceOf);
    if (session !== mine) return; // left in the meantime
    if (failure) return leave(failure);
    showNotice(state, `Joined ${mine.topic}.`, "good");
    element("push", HTMLButtonElement).disabled = false;
    mine.onEnd((why) => session === mine && leave(why));
  });

  push.addEventListener("submit", async (event) => {
    event.preventDefault();
    const payload = readJson(element("payload", HTMLTextAreaElement));
    if (payload === undefined) return showNotice(state, "The payload is not JSON.", "bad");
    if (!session) return;
    const name = element("event", HTMLInputElement).value;
    const [text, kind] = await session.push(name, payload);
    showNotice(state, text, kind);
  });

  element("pause", HTMLButtonElement).addEventListener("click", ({ currentTarget }) => {
    const isPaused = frames.togglePause();
    /** @type {HTMLElement} */ (currentTarget).textContent = isPaused ? "Continue" : "Pause";
  });
  element("clear", HTMLButtonElement).addEventListener("click", () => frames.clear());
  copyOnClick(element("copy-frames", HTMLButtonElement), () => frames.asText(), element("frames", HTMLElement));
  addEventListener("pagehide", () => session?.end());

  /** @param {string} [why] */
  function leave(why) {
    session?.end();
    session = null;
    showJoined(false);
    showNotice(state, why ?? "Left.", why ? "bad" : "neutral");
    showPresence([]);
  }
}

/** @param {boolean} isJoined whether the topic is joined, or being joined */
function showJoined(isJoined) {
  element("join", HTMLButtonElement).textContent = isJoined ? "Leave" : "Join";
  element("topic", HTMLInputElement).readOnly = isJoined;
  element("params", HTMLTextAreaElement).readOnly = isJoined;
  element("push", HTMLButtonElement).disabled = true;
}

/** One joined topic, with a connection of its own. */
class Session {
  #socket;
  #channel;

  /**
   * @param {string} url
   * @param {string} topic
   * @param {object} params
   * @param {FrameView} frames
   */
  constructor(url, topic, params, frames) {
    this.topic = topic;
    this.#socket = new Socket(url, { transport: recordedWebSocket((direction, data) => frames.add(direction, data)) });
    this.#channel = this.#socket.channel(topic, params);
    const presence = new Presence(this.#channel);
    presence.on("sync", () => showPresence(presence.list()));
  }

  join() {
    return this.#channel.join();
  }

  /** @param {(why: string) => void} listener called when the broker has closed the topic, or the connection for good */
  onEnd(listener) {
    this.#channel.onState((state, error) => state === "closed" && listener(sentenceOf(error)));
  }

  /**
   * @param {string} event
   * @param {any} payload
   * @returns {Promise<[string, "good" | "bad"]>}
   */
  async push(event, payload) {
    try {
      const reply = await this.#channel.push(event, payload);
      return [`The broker replied ok to “${event}”: ${JSON.stringify(reply).slice(0, 200)}`, "good"];
    } catch (error) {
      return [sentenceOf(error), "bad"];
    }
  }

  end() {
    this.#channel.leave().catch(() => {}); // the connection may be gone already
    this.#socket.disconnect();
  }
}

/** @param {Array<{key: string, metas: object[]}>} entries */
function showPresence(entries) {
  const rows = entries.slice(0, PRESENCE_LIMIT).map(({ key, metas }) => {
    return make("li", "", make("code", "", key), make("span", "quiet", JSON.stringify(metas).slice(0, 300)));
  });
  element("presence", HTMLElement).replaceChildren(...rows);
  const rest = entries.length - rows.length;
  const sum = entries.length === 0 ? "Nobody is listed." : rest > 0 ? `${entries.length} are listed, ${PRESENCE_LIMIT} of them here.` : "";
  const note = element("presence-note", HTMLElement);
  note.textContent = sum;
  note.hidden = sum === "";
}

/**
 * @param {HTMLTextAreaElement} field empty: `{}`
 * @returns {any} undefined: it is not JSON
 */
function readJson(field) {
  try {
    const value = JSON.parse(field.value.trim() || "{}");
    field.removeAttribute("aria-invalid");
    return value;
  } catch {
    field.setAttribute("aria-invalid", "true");
    field.focus();
    return undefined;
  }
}
