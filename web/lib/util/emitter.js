/** A typed event emitter. `on` returns a function that removes the listener. */

/** @template {Record<string, any[]>} Events */
export class Emitter {
  /** @type {Map<keyof Events, Set<(...args: any[]) => void>>} */
  #listeners = new Map();

  /**
   * Calls `listener` for every `event` from now on.
   *
   * @template {keyof Events} E
   * @param {E} event
   * @param {(...args: Events[E]) => void} listener
   * @returns {() => void} removes the listener; calling it twice is harmless
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    // A wrapper, so that a function that was added twice is removed once per call.
    /** @param {any[]} args */
    const entry = (...args) => listener(.../** @type {Events[E]} */ (args));
    listeners.add(entry);
    return () => void listeners.delete(entry);
  }

  /**
   * @template {keyof Events} E
   * @param {E} event
   * @param {Events[E]} args
   */
  emit(event, ...args) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) callListener(listener, ...args);
  }
}

/**
 * Calls a listener. Its error appears on the console and does not stop the caller.
 *
 * @template {any[]} Args
 * @param {(...args: Args) => void} listener
 * @param {Args} args
 */
export function callListener(listener, ...args) {
  try {
    listener(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
