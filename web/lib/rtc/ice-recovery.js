/**
 * Recovers an open RTCPeerConnection whose path broke, for example a phone that left its Wi-Fi or a
 * laptop that was asleep. It decides when to restart ICE and when to give up.
 */

/** Short interruptions end by themselves, sooner than an ICE restart would take (ms). */
const RESTART_DELAY = 2_000;

/**
 * @typedef {object} IceRecoveryOptions
 * @property {RTCPeerConnection} pc
 * @property {import("../util/clock.js").Clock} clock
 * @property {number} timeout ms from the interruption to giving up
 * @property {(isInterrupted: boolean) => void} onChange
 * @property {() => void} onTimeout
 */

export class IceRecovery {
  #pc;
  #clock;
  #timeout;
  #onChange;
  #onTimeout;
  #isInterrupted = false;
  /** @type {any} */
  #restartTimer;
  /** @type {any} */
  #deadlineTimer;

  /** @param {IceRecoveryOptions} options */
  constructor({ pc, clock, timeout, onChange, onTimeout }) {
    this.#pc = pc;
    this.#clock = clock;
    this.#timeout = timeout;
    this.#onChange = onChange;
    this.#onTimeout = onTimeout;
    pc.addEventListener("iceconnectionstatechange", this.#checkState);
    this.#checkState();
  }

  /** The broker is reachable again: restarts ICE now if the connection is interrupted. */
  retry() {
    if (this.#isInterrupted) this.#restart();
  }

  /** The device changed networks: restarts ICE even if the connection looks healthy. */
  networkChanged() {
    this.#restart();
  }

  stop() {
    this.#pc.removeEventListener("iceconnectionstatechange", this.#checkState);
    this.#clearTimers();
  }

  #checkState = () => {
    const state = this.#pc.iceConnectionState;
    if (state === "connected" || state === "completed") this.#restored();
    else if (state === "disconnected") this.#interrupted(RESTART_DELAY);
    else if (state === "failed") this.#interrupted(0);
  };

  #restored() {
    this.#clearTimers();
    if (!this.#isInterrupted) return;
    this.#isInterrupted = false;
    this.#onChange(false);
  }

  /** @param {number} restartDelay */
  #interrupted(restartDelay) {
    this.#clock.clearTimeout(this.#restartTimer);
    this.#restartTimer = this.#clock.setTimeout(() => this.#restart(), restartDelay);
    if (this.#isInterrupted) return;
    this.#isInterrupted = true;
    this.#deadlineTimer = this.#clock.setTimeout(this.#onTimeout, this.#timeout);
    this.#onChange(true);
  }

  #restart() {
    this.#clock.clearTimeout(this.#restartTimer);
    this.#pc.restartIce();
  }

  #clearTimers() {
    this.#clock.clearTimeout(this.#restartTimer);
    this.#clock.clearTimeout(this.#deadlineTimer);
  }
}
