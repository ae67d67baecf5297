/**
 * Brings back a connection whose path broke: a phone that left its Wi-Fi, a sleeping
 * laptop. It decides when to restart ICE and when to give up, for one RTCPeerConnection
 * that was open once.
 */

/** Short breaks heal by themselves, and sooner than a restart would (ms). */
const GRACE = 2_000;

/**
 * @typedef {object} RecoveryOptions
 * @property {RTCPeerConnection} pc
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} timeout ms from the break to giving up
 * @property {(interrupted: boolean) => void} changed
 * @property {() => void} giveUp
 */

export class Recovery {
  #pc;
  #clock;
  #timeout;
  #changed;
  #giveUp;
  #interrupted = false;
  /** @type {any} until a restart */
  #grace;
  /** @type {any} until giving up */
  #deadline;

  /** @param {RecoveryOptions} options */
  constructor({ pc, clock, timeout, changed, giveUp }) {
    this.#pc = pc;
    this.#clock = clock;
    this.#timeout = timeout;
    this.#changed = changed;
    this.#giveUp = giveUp;
    pc.addEventListener("iceconnectionstatechange", this.#look);
    this.#look();
  }

  /** The network changed, or signals flow again: whatever is broken is tried at once. */
  retry() {
    if (this.#interrupted) this.#restart();
  }

  /** The network changed: even what looks whole may be dead. */
  networkChanged() {
    this.#restart();
  }

  stop() {
    this.#pc.removeEventListener("iceconnectionstatechange", this.#look);
    this.#clearTimers();
  }

  #look = () => {
    const state = this.#pc.iceConnectionState;
    if (state === "connected" || state === "completed") this.#healed();
    else if (state === "disconnected") this.#broken(GRACE);
    else if (state === "failed") this.#broken(0);
  };

  #healed() {
    this.#clearTimers();
    if (!this.#interrupted) return;
    this.#interrupted = false;
    this.#changed(false);
  }

  /** @param {number} grace */
  #broken(grace) {
    this.#clock.clearTimeout(this.#grace);
    this.#grace = this.#clock.setTimeout(() => this.#restart(), grace);
    if (this.#interrupted) return;
    this.#interrupted = true;
    this.#deadline = this.#clock.setTimeout(this.#giveUp, this.#timeout);
    this.#changed(true);
  }

  #restart() {
    this.#clock.clearTimeout(this.#grace);
    this.#pc.restartIce();
  }

  #clearTimers() {
    this.#clock.clearTimeout(this.#grace);
    this.#clock.clearTimeout(this.#deadline);
  }
}
