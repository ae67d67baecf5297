/** The receiving view: connect, see what there is, take some of it, be sure. */

import { stretch } from "../lib/share/derive-key.js";
import { Peer } from "../lib/rtc/peer.js";
import { Socket } from "../lib/channels/socket.js";
import { Offers } from "./file-selection.js";
import { announce, element, say } from "./dom.js";
import { nameTab } from "./tab-progress.js";
import { tabIdentity } from "./tab-identity.js";
import { failureText, filesText, t } from "./i18n.js";

/** @typedef {import("../lib/share/catalogue.js").Entry} Entry */
/** @typedef {import("./download-panel.js").Place} Place */

const connectButton = () => element("connect", HTMLButtonElement);
const tell = (/** @type {string} */ sentence) => say(element("receive-state", HTMLElement), sentence);
const complain = (/** @type {string} */ sentence) => say(element("receive-error", HTMLElement), sentence);

/**
 * Shows the view. Nothing is asked of any network before Connect is pressed, unless this
 * very tab was in the middle of a download when it was reloaded.
 *
 * @param {import("../lib/share/share-link.js").Invitation} invitation
 */
export function openReceive(invitation) {
  nameTab(t("title.receive"));
  element("receive", HTMLElement).hidden = false;
  element("password-needed", HTMLElement).hidden = !invitation.hasPassword;
  const visit = new Visit(invitation);
  element("connect-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    void visit.connect();
  });
  addEventListener("pagehide", () => visit.end());
  if (visit.isUnfinished && !invitation.hasPassword) void visit.connect();
}

/** One visitor's dealings with one sender. */
class Visit {
  #invitation;
  #tabKey;
  #socket = new Socket("/socket");
  #fetch = /** @type {import("../lib/share/file-fetch.js").FileFetch | null} */ (null);
  #isTaking = false;
  #isEmpty = false;
  #offers;

  /** @param {import("../lib/share/share-link.js").Invitation} invitation */
  constructor(invitation) {
    this.#invitation = invitation;
    this.#tabKey = `handclasp.take.${invitation.peerId}`;
    this.#offers = new Offers({
      take: (entries, place) => void this.#take(entries, place),
      preview: async (entry) => this.#fetch?.preview(entry) ?? null,
    });
  }

  /** Whether this tab was reloaded amid a download. */
  get isUnfinished() {
    return sessionStorage.getItem(this.#tabKey) !== null;
  }

  async connect() {
    if (this.#fetch && this.#fetch.state !== "ended") return this.#fetch.retry();
    connectButton().disabled = true;
    complain("");
    tell(t("state.joining"));
    try {
      const { peerId, key, hasPassword } = this.#invitation;
      const proof = hasPassword ? await stretch(key, element("receive-password", HTMLInputElement).value) : key;
      const peer = new Peer(this.#socket, await tabIdentity());
      await peer.join();
      const { FileFetch } = await import("../lib/share/file-fetch.js");
      const fetch = new FileFetch(peer, peerId, proof, { clock: this.#socket.clock });
      fetch.on("state", (state, error) => this.#show(state, error));
      fetch.on("list", (entries) => this.#list(entries));
      this.#fetch = fetch;
      void fetch.start();
    } catch (error) {
      this.#offerAgain(error);
    }
  }

  end() {
    // The page's end is not the transfer's: a reload takes it up again.
    this.#socket.disconnect();
  }

  /**
   * @param {import("../lib/share/file-fetch.js").FetchState} state
   * @param {Error | null} error
   */
  #show(state, error) {
    if (state === "calling" || state === "proving") tell(t(`state.${state}`));
    if (state === "verified") this.#verified();
    if (state === "waiting") {
      tell(t(this.#isTaking ? "state.waiting_kept" : "state.waiting"));
      complain(failureText(error));
      this.#offers.enable(false);
      connectButton().disabled = false;
      connectButton().hidden = false;
      connectButton().textContent = t("try_again");
    }
    if (state === "ended") this.#offerAgain(error);
  }

  #verified() {
    loadTransfer().catch(() => {}); // asked for again when it is needed
    complain("");
    tell("");
    connectButton().hidden = true;
    element("password-needed", HTMLElement).hidden = true;
    element("receive-lead", HTMLElement).hidden = true;
    element("received", HTMLElement).hidden = false;
  }

  /** @param {Entry[]} entries */
  #list(entries) {
    this.#offers.show(entries);
    this.#offers.enable(!this.#isTaking);
    // What is said of the last download stays, whatever the sender adds.
    if (!this.#isTaking && (entries.length === 0 || this.#isEmpty)) tell(entries.length === 0 ? t("state.empty") : "");
    this.#isEmpty = entries.length === 0;
    announce(t("verified_list", filesText(entries.length, entries.reduce((sum, { size }) => sum + size, 0))));
    if (entries.length > 0 && !this.#isTaking && this.isUnfinished) this.#goOn(entries);
  }

  /**
   * Takes up what a reload broke.
   *
   * @param {Entry[]} entries
   */
  #goOn(entries) {
    /** @type {{paths: string[], place: Place}} */
    const { paths, place } = JSON.parse(sessionStorage.getItem(this.#tabKey) ?? "{}");
    if (place !== "downloads") {
      sessionStorage.removeItem(this.#tabKey);
      return tell(t("place_forgotten"));
    }
    const wanted = entries.filter(({ path }) => paths.includes(path.join("/")));
    if (wanted.length > 0) void this.#take(wanted, place);
  }

  /**
   * @param {Entry[]} entries
   * @param {Place} place
   */
  async #take(entries, place) {
    if (this.#isTaking || !this.#fetch) return;
    this.#isTaking = true;
    this.#offers.enable(false);
    complain("");
    tell("");
    try {
      const transfer = await loadTransfer();
      const target = await transfer.openPlace(place, entries, this.#invitation.peerId);
      if (!target) return;
      const paths = entries.map(({ path }) => path.join("/"));
      sessionStorage.setItem(this.#tabKey, JSON.stringify({ paths, place }));
      tell(await transfer.takeInto(this.#fetch, entries, target));
    } catch (error) {
      const isOver = this.#fetch.state === "ended";
      if (!isOver) complain(failureText(error));
    } finally {
      sessionStorage.removeItem(this.#tabKey);
      this.#isTaking = false;
      this.#offers.enable(this.#fetch.state === "verified");
    }
  }

  /** @param {unknown} error that ended it for good */
  #offerAgain(error) {
    tell("");
    const { hasPassword } = this.#invitation;
    const isWrong = /** @type {any} */ (error)?.reason === "wrong_key";
    complain(isWrong && hasPassword ? t("fail.wrong_password") : failureText(error));
    element("received", HTMLElement).hidden = true;
    element("password-needed", HTMLElement).hidden = !hasPassword;
    connectButton().disabled = false;
    connectButton().textContent = t("try_again");
    // The same link would be refused again and again; another password may not be.
    connectButton().hidden = isWrong && !hasPassword;
  }
}

/** What downloads is fetched when there is something to download: the page is there sooner without. */
function loadTransfer() {
  return import("./download-panel.js");
}
