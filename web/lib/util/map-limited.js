/** Asynchronous work on many items, a few at a time. */

/**
 * @template T, R
 * @param {T[]} items
 * @param {number} limit how many are worked on at a time
 * @param {(item: T) => Promise<R>} work
 * @returns {Promise<R[]>} the results, in the order of the items
 * @throws {unknown} the first error, once no work is running any more
 */
export async function mapLimited(items, limit, work) {
  /** @type {R[]} */
  const results = new Array(items.length);
  let next = 0;
  const workers = Array.from({ length: Math.min(limit, items.length) }, async () => {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index]);
      } catch (error) {
        next = items.length; // nothing more is begun
        throw error;
      }
    }
  });
  for (const outcome of await Promise.allSettled(workers)) if (outcome.status === "rejected") throw outcome.reason;
  return results;
}
