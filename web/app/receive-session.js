/** The receiving view from Connect on: connects to the sender, lists the files, and downloads the selected ones. */

import { Socket } from "../lib/channels/socket.js";
import { Peer } from "../lib/rtc/peer.js";
import { derivePasswordKey } from "../lib/share/password-key.js";
import { announce, element, showNotice } from "./dom.js";
import { FileSelection } from "./file-selection.js";
import { errorKey, remedyOf } from "./error-key.js";
import { formatFiles, t, texts } from "./i18n.js";
import { showProblem } from "./problem.js";
import { showReach } from "./reach.js";
import { tabIdentity } from "./tab-identity.js";
import { checkWebRtc } from "./web-rtc.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../lib/share/share-link.js").ShareLink} ShareLink */
/** @typedef {import("./download-panel.js").Destination} Destination */

/** The states in which there is a connection to the sender. */
const CONNECTED = ["proving", "listing", "verified"];

const connectButton = () => element("connect", HTMLButtonElement);
const showState = (/** @type {string} */ text, /** @type {import("./dom.js").NoticeKind} */ kind = "wait") => showNotice(element("receive-state", HTMLElement), text, kind);
const showError = (/** @type {unknown} */ error) => showProblem(element("receive-error", HTMLElement), error);

export class ReceiveSession {
  #link;
  #downloadItem;
  #socket = new Socket("socket");
  #fetch = /** @type {import("../lib/share/file-fetch.js").FileFetch | null} */ (null);
  #isDownloading = false;
  #isEmpty = false;
  /** What the last download has brought, if it was complete. */
  #result = /** @type {import("./download-panel.js").Result | null} */ (null);
  #needsPassword;
  #selection;

  /**
   * @param {ShareLink} link
   * @param {string} downloadItem the session storage item with the download in progress
   */
  constructor(link, downloadItem) {
    this.#link = link;
    this.#needsPassword = link.hasPassword;
    this.#downloadItem = downloadItem;
    this.#selection = new FileSelection({
      onDownload: (entries, destination) => void this.#download(entries, destination),
      fetchPreview: async (entry) => this.#fetch?.preview(entry) ?? null,
    });
  }

  async connect() {
    if (this.#fetch && this.#fetch.state !== "ended") return this.#fetch.retry();
    showError(null);
    showState(t("state.joining"));
    try {
      checkWebRtc();
      const { peerId, key } = this.#link;
      const passwordKey = this.#needsPassword ? await derivePasswordKey(key, element("receive-password", HTMLInputElement).value) : null;
      const peer = new Peer(this.#socket, await tabIdentity());
      peer.on("state", (state, detail) => {
        if (state === "joined" && this.#fetch?.state !== "verified") showReach("receive-reach", detail);
      });
      await peer.join();
      const { FileFetch } = await import("../lib/share/file-fetch.js");
      const fetch = new FileFetch(peer, peerId, key, { passwordKey, clock: this.#socket.clock });
      fetch.on("state", (state, error) => this.#handleState(state, error));
      fetch.on("list", (entries) => this.#handleList(entries));
      peer.on("state", (state, detail) => this.#handlePeer(state, detail));
      this.#fetch = fetch;
      void fetch.start();
    } catch (error) {
      this.#showFinalError(error);
    }
  }

  disconnect() {
    // The download is not cancelled: a reload continues it.
    this.#socket.disconnect();
  }

  /**
   * @param {import("../lib/channels/channel.js").ChannelState} state
   * @param {any} detail
   */
  #handlePeer(state, detail) {
    if (state !== "closed" || this.#fetch?.state === "ended") return;
    // A transfer needs no server. Should its connection break, the next call fails for the same cause.
    if (this.#fetch && CONNECTED.includes(this.#fetch.state)) return;
    this.#fetch?.stop();
    this.#showFinalError(detail);
  }

  /**
   * @param {import("../lib/share/file-fetch.js").FetchState} state
   * @param {Error | null} error
   */
  #handleState(state, error) {
    element("verified", HTMLElement).hidden = state !== "verified";
    if (state === "calling" || state === "proving") showState(t(`state.${state}`));
    if (state === "verified") this.#handleVerified();
    if (state === "waiting") {
      showState(t(this.#isDownloading ? "state.waiting_kept" : "state.waiting"));
      showError(error);
      this.#selection.setEnabled(false);
      connectButton().disabled = false;
      connectButton().hidden = false;
      connectButton().textContent = t("try_again");
    }
    if (state === "ended" && this.#result && /** @type {any} */ (error)?.reason === "ended") this.#showEnd(this.#result);
    else if (state === "ended") this.#showFinalError(error);
  }

  #handleVerified() {
    loadDownloadPanel().catch(() => {}); // preloaded; an error is reported when it is needed
    showError(null);
    showState("");
    element("receive-reach", HTMLElement).hidden = true;
    connectButton().hidden = true;
    element("password-needed", HTMLElement).hidden = true;
    element("receive-lead", HTMLElement).hidden = true;
    element("received", HTMLElement).hidden = false;
  }

  /** @param {FileEntry[]} entries */
  #handleList(entries) {
    this.#selection.show(entries);
    this.#selection.setEnabled(!this.#isDownloading);
    // The result of the last download stays visible when the sender adds files.
    if (!this.#isDownloading && (entries.length === 0 || this.#isEmpty)) showState(entries.length === 0 ? t("state.empty") : "");
    this.#isEmpty = entries.length === 0;
    announce(t("verified_list", formatFiles(entries)));
    if (entries.length > 0 && !this.#isDownloading && sessionStorage.getItem(this.#downloadItem)) this.#continueDownload(entries);
  }

  /**
   * Continues the download of the page before its reload.
   *
   * @param {FileEntry[]} entries
   */
  #continueDownload(entries) {
    /** @type {{paths: string[], destination: Destination}} */
    const { paths, destination } = JSON.parse(sessionStorage.getItem(this.#downloadItem) ?? "{}");
    if (destination !== "downloads") {
      sessionStorage.removeItem(this.#downloadItem);
      return showState(t("place_forgotten"));
    }
    const names = new Set(paths);
    const wanted = entries.filter(({ path }) => names.has(path.join("/")));
    if (wanted.length > 0) void this.#download(wanted, destination);
  }

  /**
   * @param {FileEntry[]} entries
   * @param {Destination} destination
   */
  async #download(entries, destination) {
    if (this.#isDownloading || !this.#fetch) return;
    this.#isDownloading = true;
    this.#selection.setEnabled(false);
    this.#result = null;
    showError(null);
    showState("");
    try {
      const { openDestination, runDownload } = await loadDownloadPanel();
      const target = await openDestination(destination, entries, this.#link.peerId);
      if (!target) return;
      const paths = entries.map(({ path }) => path.join("/"));
      sessionStorage.setItem(this.#downloadItem, JSON.stringify({ paths, destination }));
      const result = await runDownload(this.#fetch, entries, target);
      // A cancelled download is none.
      if (result.kind !== "neutral") this.#result = result;
      // The sender may have stopped meanwhile, as the command does with --once.
      if (this.#fetch.state === "ended" && this.#result) this.#showEnd(this.#result);
      else showState(result.text, result.kind);
    } catch (error) {
      if (this.#fetch.state !== "ended") showError(error);
    } finally {
      sessionStorage.removeItem(this.#downloadItem);
      this.#isDownloading = false;
      this.#selection.setEnabled(this.#fetch.state === "verified");
    }
  }

  /**
   * The sender has stopped sharing after the download: its result stays.
   *
   * @param {import("./download-panel.js").Result} result
   */
  #showEnd({ text, kind }) {
    this.#selection.setEnabled(false);
    showError(null);
    showState(`${text}\n${t("state.stopped")}`, kind);
    connectButton().hidden = true;
  }

  /** @param {unknown} error */
  #showFinalError(error) {
    showState("");
    element("receive-reach", HTMLElement).hidden = true;
    const { reason } = /** @type {any} */ (error) ?? {};
    // Without one, the sender has set a password after giving out the link, and the page asks for it.
    const lacksPassword = reason === "wrong_password" && !this.#needsPassword;
    showError(lacksPassword ? null : error);
    element("received", HTMLElement).hidden = true;
    this.#needsPassword ||= lacksPassword;
    element("password-needed", HTMLElement).hidden = !this.#needsPassword;
    connectButton().disabled = false;
    connectButton().textContent = t("try_again");
    // Another try would fail in the same way; another password may be right.
    connectButton().hidden = remedyOf(errorKey(error, texts)) !== null;
  }
}

/** Loads the download code on demand, so that the page opens faster. */
function loadDownloadPanel() {
  return import("./download-panel.js");
}
