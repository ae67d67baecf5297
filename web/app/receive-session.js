/** The receiving view from Connect on: connects to the sender, lists the files, and downloads the selected ones. */

import { Peer } from "../lib/rtc/peer.js";
import { derivePasswordKey } from "../lib/share/password-key.js";
import { openSocket } from "./broker-socket.js";
import { showClasp } from "./clasp.js";
import { deviceName } from "./device-name.js";
import { announce, element, showNotice, showText } from "./dom.js";
import { FileSelection } from "./file-selection.js";
import { errorKey, remedyOf } from "./error-key.js";
import { formatFiles, t, texts } from "./i18n.js";
import { showProblem } from "./problem.js";
import { showReach } from "./reach.js";
import { failStep, showStep } from "./steps.js";
import { tabIdentity } from "./tab-identity.js";
import { checkWebRtc } from "./web-rtc.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("../lib/share/share-link.js").ShareLink} ShareLink */
/** @typedef {import("./download-panel.js").Destination} Destination */

/** The states in which there is a connection to the sender. */
const CONNECTED = ["proving", "listing", "verified"];

/** The step of the connection in each of its states. */
const STEPS = /** @type {const} */ ({ calling: "sender", proving: "key", listing: "files" });

/** What is said after a complete download, by the reason why the sender has ended the share. @type {Record<string, import("./i18n.js").TextKey>} */
const ENDS = { ended: "state.stopped", used: "state.used", expired: "state.expired" };

const connectButton = () => element("connect", HTMLButtonElement);
const showState = (/** @type {string} */ text, /** @type {import("./dom.js").NoticeKind} */ kind = "wait") => showNotice(element("receive-state", HTMLElement), text, kind);
const showDrawing = (/** @type {import("./clasp.js").ClaspState} */ state) => showClasp(element("receive-clasp", HTMLElement), state);
const showTitle = (/** @type {boolean} */ isComplete) => (element("receive-title", HTMLElement).textContent = t(isComplete ? "received_title" : "receive_title"));
const showError = (/** @type {unknown} */ error) => showProblem(element("receive-error", HTMLElement), error);

export class ReceiveSession {
  #link;
  #downloadItem;
  #socket = openSocket();
  #fetch = /** @type {import("../lib/share/file-fetch.js").FileFetch | null} */ (null);
  #isDownloading = false;
  #isEmpty = false;
  /** What the last download has brought, if it was complete. */
  #result = /** @type {import("./download-panel.js").Result | null} */ (null);
  /** Why the share is over. */
  #endKey = ENDS.ended;
  #needsPassword;
  #selection;
  #texts = /** @type {Promise<import("./received-texts.js").ReceivedTexts> | null} */ (null);

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
    showState(t("state.joining"), "plain-line");
    showStep("server");
    showDrawing("connecting");
    element("receive-lead", HTMLElement).hidden = true;
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
    // A transfer needs no server. If its connection breaks, the next call fails for the same cause.
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
    if (state === "calling" || state === "proving" || state === "listing") {
      showState(t(`state.${state}`), "plain-line");
      showStep(STEPS[state]);
      showDrawing("connecting");
    }
    if (state === "verified") this.#handleVerified();
    if (state === "waiting") {
      failStep();
      showDrawing("waiting");
      showState(t(this.#isDownloading ? "state.waiting_kept" : "state.waiting"));
      showError(error);
      this.#selection.setEnabled(false);
      connectButton().disabled = false;
      connectButton().hidden = false;
      connectButton().textContent = t("try_again");
    }
    if (state !== "ended") return;
    const endKey = ENDS[/** @type {any} */ (error)?.reason];
    this.#endKey = endKey ?? ENDS.ended;
    if (this.#result && endKey) this.#showEnd(this.#result);
    else this.#showFinalError(error);
  }

  #handleVerified() {
    loadDownloadPanel().catch(() => {}); // preloaded; an error is reported when it is needed
    showError(null);
    showState("");
    showStep(null);
    showDrawing("connected");
    element("receive-reach", HTMLElement).hidden = true;
    connectButton().hidden = true;
    element("password-needed", HTMLElement).hidden = true;
    element("received", HTMLElement).hidden = false;
  }

  /** @param {FileEntry[]} all */
  #handleList(all) {
    const entries = all.filter(({ text }) => !text);
    this.#showOffer(all, entries);
    this.#selection.show(entries);
    this.#selection.setEnabled(!this.#isDownloading);
    // The result of the last download stays visible when the sender adds files.
    if (!this.#isDownloading && (all.length === 0 || this.#isEmpty)) showState(all.length === 0 ? t("state.empty") : "");
    this.#isEmpty = all.length === 0;
    announce(t("verified_list", formatFiles(all)));
    void this.#readTexts(all, entries.length === 0);
    if (entries.length > 0 && !this.#isDownloading && sessionStorage.getItem(this.#downloadItem)) this.#continueDownload(entries);
  }

  /**
   * @param {FileEntry[]} all
   * @param {FileEntry[]} files without the texts
   */
  #showOffer(all, files) {
    const sender = deviceName(this.#fetch?.sharer ?? null);
    const offer = all.length === 0 ? "" : files.length === 0 ? t("text_sum") : formatFiles(files);
    showText(element("offer-sum", HTMLElement), sender && offer ? t("offer_from", sender, offer) : offer || sender);
    element("offers", HTMLElement).hidden = files.length === 0;
  }

  /**
   * @param {FileEntry[]} all
   * @param {boolean} isAll whether there are only texts
   */
  async #readTexts(all, isAll) {
    const texts = all.filter(({ text }) => text);
    const fetch = this.#fetch;
    if (texts.length === 0 || !fetch) return;
    try {
      this.#texts ??= import("./received-texts.js").then(({ ReceivedTexts }) => new ReceivedTexts());
      const count = await (await this.#texts).read(fetch, texts, isAll);
      if (count === 0) return;
      if (isAll) showTitle(true);
      announce(t("received_title"));
    } catch (error) {
      this.#texts = null;
      showError(error); // a module could not be loaded
    }
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
    showTitle(false);
    try {
      const { openDestination, runDownload } = await loadDownloadPanel();
      const target = await openDestination(destination, entries, this.#link.peerId);
      if (!target) return;
      const paths = entries.map(({ path }) => path.join("/"));
      sessionStorage.setItem(this.#downloadItem, JSON.stringify({ paths, destination }));
      const result = await runDownload(this.#fetch, entries, target);
      // A cancelled download is none.
      if (result.kind !== "neutral") this.#result = result;
      showTitle(result.isComplete);
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
    showState(`${text}\n${t(this.#endKey)}`, kind);
    connectButton().hidden = true;
  }

  /** @param {unknown} error */
  #showFinalError(error) {
    showState("");
    failStep();
    showDrawing("failed");
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
