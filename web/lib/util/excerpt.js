/** Values of strangers in the messages of errors. */

const MAX_CHARS = 40;

/**
 * @param {unknown} value as received
 * @returns {string} short, whatever the value is; an object or an array is named only, because
 *   converting it to text may fail
 */
export function excerpt(value) {
  if (typeof value === "string") return value.length > MAX_CHARS ? `${value.slice(0, MAX_CHARS)}…` : value;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
