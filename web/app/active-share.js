/** A share in progress: its files, its link and its receivers, until the page is closed. */

import { ClosedError, TokenError } from "../lib/channels/errors.js";
import { createIdentity, restoreIdentity } from "../lib/rtc/identity.js";
import { Peer, joinWithRetry } from "../lib/rtc/peer.js";
import { FileShare } from "../lib/share/file-share.js";
import { derivePasswordKey } from "../lib/share/password-key.js";
import { KEY_BYTES, makeLink } from "../lib/share/share-link.js";
import { randomBytes } from "../lib/util/bytes.js";
import { TimeoutError } from "../lib/util/errors.js";
import { isTemporary } from "../lib/util/temporary.js";
import { openSocket } from "./broker-socket.js";
import { announce, element, showText } from "./dom.js";
import { showFileHash } from "./file-hash.js";
import { t } from "./i18n.js";
import { LinkLimits, NO_LIMITS } from "./link-limits.js";
import { showLink } from "./link-panel.js";
import { offerNotification } from "./notify.js";
import { showProblem } from "./problem.js";
import { showReach } from "./reach.js";
import { createReceiverRow } from "./receiver-row.js";
import { forgetReceivers, loadReceivers, saveReceivers } from "./saved-receivers.js";
import { saveShare } from "./saved-share.js";
import { forgetTexts, loadTexts, saveTexts } from "./saved-texts.js";
import { showShareStatus } from "./share-status.js";
import { SharedFiles } from "./shared-files.js";
import { showTabProgress } from "./tab-progress.js";
import { checkWebRtc } from "./web-rtc.js";

/** @typedef {import("../lib/share/file-entry.js").FileEntry} FileEntry */
/** @typedef {import("./file-handles.js").Handle} Handle */
/** @typedef {import("./saved-share.js").SavedShare} SavedShare */

/** So many wrong passwords look like guessing, not like mistakes. */
const GUESSING_THRESHOLD = 5;

export class ActiveShare {
  #socket;
  #peer;
  #fileShare;
  /** @type {Omit<SavedShare, "savedAt">} */
  #saved;
  /** @type {Map<string, Blob>} by the entry's id */
  #files = new Map();
  /** @type {Map<string, number>} the numbers of the receivers, by peer id */
  #receiverNumbers;
  #isStopped = false;
  #isJoined = false;
  #isTakenOver = false;
  /** Whether none of the files that were shared before the reload is back yet. */
  #isAwaitingFiles = false;
  #reach = /** @type {import("./share-status.js").Reach} */ ("reconnecting");
  /** Why the server does not have this share any more. */
  #refusal = /** @type {Error | null} */ (null);
  #limits;
  #list = new SharedFiles({ onRemove: (ids) => this.#remove(ids), fetchPreview: (entry) => this.#preview(entry) });

  /**
   * @param {import("../lib/channels/socket.js").Socket} socket
   * @param {Peer} peer
   * @param {Omit<SavedShare, "savedAt">} saved
   */
  constructor(socket, peer, saved) {
    this.#socket = socket;
    this.#peer = peer;
    this.#saved = saved;
    const earlier = loadReceivers(peer.id);
    this.#receiverNumbers = new Map(earlier.map(({ peerId, number }) => [peerId, number]));
    this.#fileShare = new FileShare(peer, saved.linkKey, { passwordKey: saved.passwordKey, earlier, ...limitOptions(saved.limits) });
    this.#limits = new LinkLimits(this.#fileShare, saved.limits, (limits) => {
      this.#saved.limits = limits;
      void saveShare(this.#saved);
      this.#showState();
    });
    this.#fileShare.catalogue.on("change", () => this.#showFiles());
    this.#fileShare.catalogue.on("fault", ({ path }) => showText(element("share-error", HTMLElement), t("share_fault", path.join("/"))));
    this.#fileShare.on("receiver", (receiver) => this.#showReceiver(receiver));
    this.#fileShare.on("refused", showRefused);
    peer.on("state", (state, detail) => this.#handleState(state, detail));
    socket.on("connected", () => this.#showState());
  }

  /** @param {SavedShare | null} saved this tab's share before a reload */
  static async start(saved) {
    checkWebRtc();
    const socket = openSocket();
    const identity = saved ? await restoreIdentity(saved.secret) : await createIdentity();
    const linkKey = saved?.linkKey ?? randomBytes(KEY_BYTES);
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const certificate = saved?.certificate ?? (await RTCPeerConnection.generateCertificate(algorithm));
    // With the same certificate the fingerprint stays the same after a reload. The proof works with any certificate.
    const certificates = certificate.expires > Date.now() ? [certificate] : [];
    const createConnection = (/** @type {RTCConfiguration} */ config) => new RTCPeerConnection({ ...config, certificates });
    const peer = new Peer(socket, identity, { createConnection });
    const { passwordKey = null, names = [], handles = [], limits = NO_LIMITS } = saved ?? {};
    const share = new ActiveShare(socket, peer, { secret: identity.secret, linkKey, passwordKey, certificate, names, handles, limits });
    share.#open();
    return share;
  }

  /**
   * @param {import("./file-input.js").PickedFiles} picked
   * @param {object} [options]
   * @param {boolean} [options.isFromApp] the files that the user was asked for after a reload are still missing
   */
  add({ files, handles }, { isFromApp = false } = {}) {
    if (this.#offer(files, isFromApp)) this.#saved.handles.push(...handles);
    this.#save();
  }

  /**
   * Adds files to the list that receivers see.
   *
   * @param {import("./file-handles.js").PickedFile[]} files
   * @param {boolean} [isFromApp]
   * @returns {boolean} whether one of them is new
   */
  #offer(files, isFromApp = false) {
    const { catalogue } = this.#fileShare;
    // A file that is picked twice is shared once.
    const known = new Set(catalogue.entries.map(({ path, size }) => JSON.stringify([path, size])));
    const named = files.map(({ file, path }) => ({ file, path: file.isText ? [this.#textName(path[0])] : path }));
    const newFiles = named.filter(({ file, path }) => !known.has(JSON.stringify([path, file.size])));
    if (!this.#refusal) showText(element("share-error", HTMLElement), "");
    const added = catalogue.add(newFiles);
    added.forEach(({ id }, index) => {
      const { file } = newFiles[index];
      if (file instanceof Blob) this.#files.set(id, file);
    });
    if (!isFromApp && added.some(({ text }) => !text)) this.#askForFiles("share_again", []);
    this.#showHash();
    return added.length > 0;
  }

  /**
   * @param {string} name of a text
   * @returns {string} the first of `text.txt`, `text 2.txt`… that no text has: two texts are never one file picked twice
   */
  #textName(name) {
    const taken = new Set(this.#fileShare.catalogue.entries.map(({ path }) => path.join("/")));
    let free = name;
    for (let n = 2; taken.has(free); n++) free = `text ${n}.txt`;
    return free;
  }

  /** Ends the share for good, and tells the receivers. */
  async end() {
    this.#isStopped = true;
    await this.#fileShare.stop();
    this.stop();
    forgetReceivers(this.#peer.id);
    forgetTexts(this.#peer.id);
  }

  /** Leaves the page, which may be reloaded and go on. */
  stop() {
    this.#saveReceivers();
    this.#isStopped = true;
    onbeforeunload = null;
    showTabProgress(null);
    this.#peer.close();
    this.#socket.disconnect();
  }

  #open() {
    element("pick", HTMLElement).hidden = true;
    element("sharing", HTMLElement).hidden = false;
    this.#showLink();
    this.#showFiles();
    if (this.#hasPassword) {
      element("link-settings", HTMLDetailsElement).open = true;
      showText(element("password-state", HTMLElement), t("password_is_set"));
    }
    this.#limits.open();
    offerNotification("share-notify");
    const texts = loadTexts(this.#peer.id);
    if (texts.length > 0) this.#offer(texts); // nothing is saved: the names of the files are still needed
    if (this.#saved.names.length > 0) void this.#restoreFiles();
    void saveShare(this.#saved);
    element("password-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#setPassword(element("password", HTMLInputElement).value);
    });
    element("take-back", HTMLElement).addEventListener("click", () => {
      showProblem(element("share-error", HTMLElement), null);
      this.#join();
    });
    this.#join();
  }

  #join() {
    joinWithRetry(this.#peer).catch(() => {}); // the event `state` shows the error
  }

  /**
   * @param {import("../lib/channels/channel.js").ChannelState} state
   * @param {any} detail
   */
  #handleState(state, detail) {
    this.#isJoined = state === "joined";
    // The server closes the topic when another page joins it with this share's secret.
    this.#isTakenOver = state === "closed" && !this.#isStopped && detail instanceof ClosedError;
    // After a timeout, `joinWithRetry` goes on.
    const isRefused = state === "closed" && !this.#isStopped && !this.#isTakenOver && !(detail instanceof TimeoutError);
    this.#refusal = isRefused ? detail : null;
    if (this.#isJoined) showReach("share-reach", detail);
    if (isRefused) showProblem(element("share-error", HTMLElement), detail);
    this.#showState();
  }

  #showState() {
    // When the page is shown again, its connection may have died unseen: until the server answers, nothing is ready.
    const isReady = this.#isJoined && this.#socket.isConnected;
    // The limits say under the link why it admits nobody.
    const isClosed = this.#fileShare.closed !== null && !this.#isTakenOver;
    const place = element("share-state", HTMLElement);
    place.classList.toggle("lost", this.#isTakenOver);
    showText(place, this.#refusal || isClosed ? "" : t(this.#isTakenOver ? "share_taken" : isReady ? "share_ready" : "share_away"));
    const again = element("take-back", HTMLElement);
    again.textContent = t(this.#isTakenOver ? "take_back" : "try_again");
    // A user who has signed in again, in another tab, may have a token.
    const mayHelp = this.#isTakenOver || isTemporary(this.#refusal) || this.#refusal instanceof TokenError;
    again.hidden = !mayHelp;
    const isLost = this.#isTakenOver || this.#refusal !== null;
    this.#reach = isLost ? "lost" : isClosed ? "closed" : isReady ? "ready" : "reconnecting";
    this.#showStatus();
  }

  /** After a reload: shares the same files if the browser can still read them, or asks the user for them. */
  async #restoreFiles() {
    const { names, handles } = this.#saved;
    this.#isAwaitingFiles = true;
    if (handles.length === 0) return this.#askForFiles("share_again", names);
    const { filesOfHandles, filterReadable } = await import("./file-handles.js");
    const retake = element("retake", HTMLElement);
    const restore = async (/** @type {Handle[]} */ readable) => {
      const files = await filesOfHandles(readable, names);
      const found = new Set(files.map(({ path }) => path.join("/")));
      if (files.length > 0) this.add({ files, handles: [] });
      this.#askForFiles("share_missing", names.filter((name) => !found.has(name)));
    };
    const readable = await filterReadable(handles, false);
    if (readable.length === handles.length) return restore(readable);
    this.#askForFiles("share_again_ask", names);
    retake.hidden = false;
    retake.focus();
    retake.onclick = async () => {
      const readable = await filterReadable(handles, true);
      element("add-more", HTMLElement).focus();
      retake.hidden = true;
      await restore(readable);
    };
  }

  /**
   * @param {import("./i18n.js").TextKey} key
   * @param {string[]} names
   */
  #askForFiles(key, names) {
    this.#isAwaitingFiles = names.length > 0 && this.#fileShare.catalogue.entries.every(({ text }) => text);
    element("retake", HTMLElement).hidden = true;
    const first = names.slice(0, 10).join(", ");
    showText(element("share-again", HTMLElement), names.length === 0 ? "" : t(key, names.length > 10 ? `${first}, …` : first));
  }

  /** Saves the list of files and their handles for a reload. */
  #save() {
    const entries = this.#fileShare.catalogue.entries.filter(({ text }) => !text);
    const names = entries.map(({ path }) => path.join("/"));
    const picked = new Set(entries.map(({ path }) => path[0]));
    const handles = this.#saved.handles.filter(({ name }) => picked.has(name));
    // A text that is written meanwhile, or a file of an app, does not replace the files that the user was asked for.
    if (this.#isAwaitingFiles) this.#saved.names = [...new Set([...this.#saved.names, ...names])];
    else Object.assign(this.#saved, { names, handles });
    void this.#saveTexts();
    void saveShare(this.#saved);
  }

  async #saveTexts() {
    const texts = this.#fileShare.catalogue.entries.filter(({ text }) => text);
    const files = texts.map(({ id, path }) => new File([/** @type {Blob} */ (this.#files.get(id))], path[0]));
    await saveTexts(this.#peer.id, files);
  }

  /** @param {string} password */
  async #setPassword(password) {
    this.#saved.passwordKey = await derivePasswordKey(this.#saved.linkKey, password);
    this.#fileShare.passwordKey = this.#saved.passwordKey;
    this.#showLink();
    await saveShare(this.#saved);
    showText(element("password-state", HTMLElement), t(password === "" ? "password_is_off" : "password_is_set"));
  }

  #showLink() {
    // A receiver may come when the server has a newer page, and not the files of this one.
    if (this.#hasPassword) import("../lib/share/cpace.js").catch(() => {}); // loaded again when it is needed
    showLink(makeLink({ peerId: this.#peer.id, key: this.#saved.linkKey, hasPassword: this.#hasPassword }));
  }

  get #hasPassword() {
    return this.#saved.passwordKey !== null;
  }

  #showFiles() {
    this.#list.show(this.#fileShare.catalogue.entries);
    this.#showHash();
  }

  /** @param {string[]} ids */
  #remove(ids) {
    this.#fileShare.catalogue.remove(...ids);
    for (const id of ids) this.#files.delete(id);
    this.#save();
    // The button that had the focus is gone, and with the last file the list.
    if (this.#fileShare.catalogue.entries.length === 0) element("add-more", HTMLElement).focus();
  }

  /** @param {FileEntry} entry */
  async #preview({ id }) {
    const jpeg = await this.#fileShare.catalogue.preview(id);
    return jpeg && new Blob([jpeg], { type: "image/jpeg" });
  }

  /** Only for a single file. The browsers compare the hashes of all files in any case. */
  #showHash() {
    const { entries } = this.#fileShare.catalogue;
    void showFileHash("share-hash", (entries.length === 1 && this.#files.get(entries[0].id)) || null);
  }

  /** @param {import("../lib/share/remote-receiver.js").RemoteReceiver} receiver */
  #showReceiver(receiver) {
    const list = element("receivers", HTMLElement);
    element("receivers-part", HTMLElement).hidden = false;
    const number = this.#receiverNumbers.get(receiver.peerId) ?? Math.max(0, ...this.#receiverNumbers.values()) + 1;
    this.#receiverNumbers.set(receiver.peerId, number);
    if (list.children.length === 0) announce(t("receivers"));
    list.append(createReceiverRow(receiver, t("receiver_name", number)));
    receiver.on("change", () => {
      this.#saveReceivers();
      this.#showStatus();
    });
    this.#showStatus();
  }

  #showStatus() {
    const isSending = showShareStatus(this.#fileShare.receivers, this.#reach);
    // The browser asks before it closes the page, but only while there is a download.
    onbeforeunload = isSending ? (event) => event.preventDefault() : null;
  }

  /** A reload keeps their numbers, and what each one has. */
  #saveReceivers() {
    const receivers = this.#fileShare.receivers.map(({ peerId, state, written, total, failed }) => {
      return { peerId, number: this.#receiverNumbers.get(peerId) ?? 0, state, written, total, failed };
    });
    // Those of before the reload may come back later.
    const known = new Set(receivers.map(({ peerId }) => peerId));
    const awaited = loadReceivers(this.#peer.id).filter(({ peerId }) => !known.has(peerId));
    saveReceivers(this.#peer.id, [...awaited, ...receivers]);
  }
}

/** @param {import("./link-limits.js").SavedLimits} limits */
function limitOptions({ once, isUsed, expiresAt }) {
  return { once, isUsed, expiresAt: expiresAt === null ? null : new Date(expiresAt) };
}

/**
 * Refused receivers have no rows, because an attacker could create any number.
 *
 * @param {import("../lib/share/file-share.js").RefusedCounts} counts
 */
function showRefused({ wrongKeys, wrongPasswords }) {
  const place = element("refused", HTMLElement);
  const count = wrongKeys + wrongPasswords;
  // A wrong key is a damaged link, or a stranger's try that cannot succeed.
  const isGuessing = wrongPasswords >= GUESSING_THRESHOLD;
  element("receivers-part", HTMLElement).hidden = false;
  place.classList.toggle("bad", isGuessing);
  showText(place, (count === 1 ? t("refused_one") : t("refused_many", count)) + (isGuessing ? t("refused_guessing") : ""));
}
