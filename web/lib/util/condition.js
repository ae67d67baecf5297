/** A condition variable: waiters are woken by every change and then check again what they wait for. */

export class Condition {
  /** @type {Set<() => void>} */
  #waiters = new Set();

  /** @returns {Promise<void>} resolves at the next `notify` */
  wait() {
    return new Promise((resolve) => this.#waiters.add(resolve));
  }

  /** Wakes all waiters. */
  notify() {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const resolve of waiters) resolve();
  }
}
