/** A share under way: what is on offer, its link, and who takes it, from the first file to the end of the page. */

import { FileShare } from "../lib/share/file-share.js";
import { createIdentity, restoreIdentity } from "../lib/rtc/identity.js";
import { stretch } from "../lib/share/derive-key.js";
import { Peer, joinPatiently } from "../lib/rtc/peer.js";
import { KEY_BYTES } from "../lib/share/key-proof.js";
import { Socket } from "../lib/channels/socket.js";
import { makeLink } from "../lib/share/share-link.js";
import { showHash } from "./file-hash.js";
import { remember } from "./saved-share.js";
import { showLink } from "./link-panel.js";
import { announce, element, say } from "./dom.js";
import { rowOf } from "./receiver-row.js";
import { showInTab } from "./tab-progress.js";
import { failureText, filesText, sizeText, t } from "./i18n.js";

/** So many wrong keys are not somebody's typing any more. */
const GUESSING = 5;

export class Share {
  #socket;
  #peer;
  #fileShare;
  /** @type {Omit<import("./saved-share.js").Keepsake, "at">} */
  #keepsake;
  /** @type {Map<string, Blob>} by the entry's id */
  #files = new Map();
  #receivers = 0;
  /** @type {Promise<import("./thumbnails.js").Pictures> | null} */
  #pictures = null;

  /**
   * @param {Socket} socket
   * @param {Peer} peer
   * @param {Omit<import("./saved-share.js").Keepsake, "at">} keepsake
   */
  constructor(socket, peer, keepsake) {
    this.#socket = socket;
    this.#peer = peer;
    this.#keepsake = keepsake;
    this.#fileShare = new FileShare(peer, keepsake.proof);
    this.#fileShare.catalogue.on("change", () => this.#showFiles());
    this.#fileShare.catalogue.on("fault", ({ path }) => say(element("share-error", HTMLElement), t("share_fault", path.join("/"))));
    this.#fileShare.on("receiver", (receiver) => this.#showReceiver(receiver));
    this.#fileShare.on("refused", showRefused);
    peer.on("state", (state) => {
      say(element("share-state", HTMLElement), state === "joined" ? t("share_ready") : t("share_away"));
    });
  }

  /** @param {import("./saved-share.js").Keepsake | null} kept of this tab, before it was reloaded */
  static async start(kept) {
    const socket = new Socket("/socket");
    const identity = kept ? await restoreIdentity(kept.secret) : await createIdentity();
    const key = kept?.key ?? crypto.getRandomValues(new Uint8Array(KEY_BYTES));
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const certificate = kept?.certificate ?? (await RTCPeerConnection.generateCertificate(algorithm));
    // The proof binds whatever certificate there is; keeping it lets a reload look like no change at all.
    const certificates = certificate.expires > Date.now() ? [certificate] : [];
    const createConnection = (/** @type {RTCConfiguration} */ config) => new RTCPeerConnection({ ...config, certificates });
    const peer = new Peer(socket, identity, { createConnection });
    const { proof = key, names = [], handles = [] } = kept ?? {};
    const keepsake = { secret: identity.secret, key, proof, certificate, names, handles };
    const share = new Share(socket, peer, keepsake);
    share.#open();
    return share;
  }

  /** @param {import("./file-input.js").Found} found */
  add({ offers, handles }) {
    const { catalogue } = this.#fileShare;
    // The same file chosen twice is one file.
    const known = new Set(catalogue.entries.map(({ path, size }) => JSON.stringify([path, size])));
    const fresh = offers.filter(({ file, path }) => !known.has(JSON.stringify([path, file.size])));
    say(element("share-error", HTMLElement), "");
    const added = catalogue.add(fresh);
    added.forEach(({ id }, at) => this.#files.set(id, fresh[at].file));
    this.#showHash();
    if (added.length > 0) this.#keepsake.handles.push(...handles);
    this.#remember();
  }

  stop() {
    onbeforeunload = null;
    showInTab(null);
    this.#peer.close();
    this.#socket.disconnect();
  }

  #open() {
    element("pick", HTMLElement).hidden = true;
    element("sharing", HTMLElement).hidden = false;
    this.#showLink();
    this.#showFiles();
    if (this.#hasPassword) {
      element("password-details", HTMLDetailsElement).open = true;
      say(element("password-state", HTMLElement), t("password_is_set"));
    }
    if (this.#keepsake.names.length > 0) void this.#comeBack();
    void remember(this.#keepsake);
    element("password-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#setPassword(element("password", HTMLInputElement).value);
    });
    joinPatiently(this.#peer).catch((error) => say(element("share-error", HTMLElement), failureText(error)));
  }

  /** After a reload: with the files, if the browser gives them back, or with the words to get them. */
  async #comeBack() {
    const { names, handles } = this.#keepsake;
    if (handles.length === 0) return this.#askFor("share_again", names);
    const { offersOf, permitted } = await import("./file-handles.js");
    const retake = element("retake", HTMLElement);
    const take = async (/** @type {import("./file-handles.js").Handle[]} */ granted) => {
      const offers = await offersOf(granted, names);
      const found = new Set(offers.map(({ path }) => path.join("/")));
      if (offers.length > 0) this.add({ offers, handles: [] });
      this.#askFor("share_missing", names.filter((name) => !found.has(name)));
    };
    const granted = await permitted(handles, false);
    if (granted.length === handles.length) return take(granted);
    this.#askFor("share_again_ask", names);
    retake.hidden = false;
    retake.focus();
    retake.onclick = async () => {
      const granted = await permitted(handles, true);
      element("add-more", HTMLElement).focus();
      retake.hidden = true;
      await take(granted);
    };
  }

  /**
   * @param {import("./i18n.js").Word} word
   * @param {string[]} names
   */
  #askFor(word, names) {
    const some = names.slice(0, 10).join(", ");
    say(element("share-again", HTMLElement), names.length === 0 ? "" : t(word, names.length > 10 ? `${some}, …` : some));
  }

  /** What is on offer now, and what leads to it after a reload. */
  #remember() {
    const names = this.#fileShare.catalogue.entries.map(({ path }) => path.join("/"));
    const handles = this.#keepsake.handles.filter(({ name }) => names.some((path) => path === name || path.startsWith(`${name}/`)));
    Object.assign(this.#keepsake, { names, handles });
    void remember(this.#keepsake);
  }

  /** @param {string} password */
  async #setPassword(password) {
    const { key } = this.#keepsake;
    this.#keepsake.proof = await stretch(key, password);
    this.#fileShare.key = this.#keepsake.proof;
    this.#showLink();
    await remember(this.#keepsake);
    say(element("password-state", HTMLElement), t(password === "" ? "password_is_off" : "password_is_set"));
  }

  #showLink() {
    showLink(makeLink({ peerId: this.#peer.id, key: this.#keepsake.key, hasPassword: this.#hasPassword }));
  }

  get #hasPassword() {
    return this.#keepsake.proof.join() !== this.#keepsake.key.join();
  }

  #showFiles() {
    const { entries } = this.#fileShare.catalogue;
    const size = entries.reduce((sum, entry) => sum + entry.size, 0);
    if (entries.length > 0) {
      say(element("share-again", HTMLElement), "");
      element("retake", HTMLElement).hidden = true;
    }
    element("share-sum", HTMLElement).textContent = entries.length === 0 ? t("nothing_on_offer") : t("files_on_offer", filesText(entries.length, size));
    const rows = entries.map((entry) => ({ entry, place: this.#itemOf(entry) }));
    element("share-files", HTMLElement).replaceChildren(...rows.map(({ place }) => place));
    this.#showHash();
    if (entries.some(({ type }) => type.startsWith("image/"))) void this.#showPictures(rows);
  }

  /** @param {Array<{entry: import("../lib/share/catalogue.js").Entry, place: HTMLElement}>} rows */
  async #showPictures(rows) {
    this.#pictures ??= import("./thumbnails.js").then(({ Pictures }) => new Pictures((entry) => this.#preview(entry)));
    const pictures = await this.#pictures;
    if (rows.every(({ place }) => place.isConnected)) pictures.show(rows); // else a later list has come
  }

  /** @param {import("../lib/share/catalogue.js").Entry} entry */
  async #preview({ id }) {
    const jpeg = await this.#fileShare.catalogue.preview(id);
    return jpeg && new Blob([jpeg], { type: "image/jpeg" });
  }

  /** Of one file alone: of many, each receiver's browser compares the hashes. */
  #showHash() {
    const { entries } = this.#fileShare.catalogue;
    void showHash("share-hash", (entries.length === 1 && this.#files.get(entries[0].id)) || null);
  }

  /** @param {import("../lib/share/catalogue.js").Entry} entry */
  #itemOf({ id, path, size }) {
    const item = document.createElement("li");
    const name = document.createElement("bdi");
    const figure = document.createElement("span");
    const remove = document.createElement("button");
    name.textContent = path.join("/");
    figure.className = "quiet";
    figure.textContent = sizeText(size);
    remove.type = "button";
    remove.textContent = t("remove");
    remove.setAttribute("aria-label", t("remove_name", path.join("/")));
    remove.addEventListener("click", () => {
      this.#fileShare.catalogue.remove(id);
      this.#files.delete(id);
      this.#remember();
      element("add-more", HTMLElement).focus(); // the button that had the focus is gone
    });
    item.append(name, figure, remove);
    return item;
  }

  /** @param {import("../lib/index.js").Reception} receiver */
  #showReceiver(receiver) {
    const list = element("receivers", HTMLElement);
    element("nobody", HTMLElement).hidden = true;
    this.#receivers += 1;
    list.append(rowOf(receiver, t("receiver_name", this.#receivers)));
    if (this.#receivers === 1) announce(t("receivers"));
    receiver.on("change", () => {
      const active = this.#fileShare.receivers.filter(({ state }) => state === "downloading");
      const sum = (/** @type {"written" | "total"} */ what) => active.reduce((all, one) => all + one[what], 0);
      showInTab(active.length > 0 ? sum("written") / Math.max(1, sum("total")) : null);
      // Asked before the page is closed, but not when nobody would miss it.
      onbeforeunload = active.length > 0 ? (event) => event.preventDefault() : null;
    });
  }
}

/** @param {number} count of visitors with another key: a row for each would be theirs to multiply */
function showRefused(count) {
  const place = element("refused", HTMLElement);
  const isGuessing = count >= GUESSING;
  element("nobody", HTMLElement).hidden = true;
  place.classList.toggle("bad", isGuessing);
  say(place, (count === 1 ? t("refused_one") : t("refused_many", count)) + (isGuessing ? t("refused_guessing") : ""));
}
