/**
 * Named events with typed arguments: `on` returns its own undo. Knows nothing of
 * what is said through it.
 */

/** @template {Record<string, any[]>} Events */
export class Emitter {
  /** @type {Map<keyof Events, Set<(...args: any[]) => void>>} */
  #listeners = new Map();

  /**
   * Calls `listener` at every `event` from now on.
   *
   * @template {keyof Events} E
   * @param {E} event
   * @param {(...args: Events[E]) => void} listener
   * @returns {() => void} call it to stop listening; calling it twice is harmless
   */
  on(event, listener) {
    const set = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, set);
    // A wrapper of its own, so that one function registered twice is undone once a time.
    /** @param {any[]} args */
    const entry = (...args) => listener(.../** @type {Events[E]} */ (args));
    set.add(entry);
    return () => void set.delete(entry);
  }

  /**
   * @template {keyof Events} E
   * @param {E} event
   * @param {Events[E]} args
   */
  emit(event, ...args) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(...args);
      } catch (error) {
        // A listener's fault must reach the console and must not stop the others.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
