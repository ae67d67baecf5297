/** Waiting for whatever changes next, for those who look again at what they need when woken. */

export class Changes {
  /** @type {Set<() => void>} */
  #waiters = new Set();

  /** @returns {Promise<void>} */
  next() {
    return new Promise((resolve) => this.#waiters.add(resolve));
  }

  wake() {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const resolve of waiters) resolve();
  }
}
