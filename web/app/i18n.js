/** What the app says to people: in their language, with figures, and every failure with its cure. */

import { HandclaspError, PeerError } from "../lib/util/errors.js";
import { pathWords } from "./ice-advice.js";

/** @typedef {keyof typeof import("./locales/en.js").default} Word */

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
/** @type {Record<string, () => Promise<{default: Record<Word, string>}>>} */
const LANGUAGES = { en: () => import("./locales/en.js"), ja: () => import("./locales/ja.js"), zh: () => import("./locales/zh.js") };

/** Those of the one language that `speak` has chosen. @type {Record<Word, string>} */
let words;
let language = "en";

/**
 * Takes the first of the browser's languages that there is, and puts it into the page.
 *
 * @param {readonly string[]} [wanted]
 */
export async function speak(wanted = navigator.languages) {
  const known = wanted.map((tag) => tag.split("-")[0].toLowerCase()).find((tag) => tag in LANGUAGES);
  language = known ?? "en";
  words = (await LANGUAGES[language]()).default;
  document.documentElement.lang = language;
  for (const place of document.querySelectorAll("[data-t]")) {
    place.textContent = words[/** @type {Word} */ (place.getAttribute("data-t"))];
  }
  for (const place of document.querySelectorAll("[data-t-label]")) {
    place.setAttribute("aria-label", words[/** @type {Word} */ (place.getAttribute("data-t-label"))]);
  }
}

/**
 * @param {Word} word
 * @param {Array<string | number>} values for `{0}`, `{1}`...
 * @returns {string}
 */
export function t(word, ...values) {
  return words[word].replace(/\{(\d)\}/g, (_, at) => String(values[Number(at)] ?? ""));
}

/**
 * @param {unknown} error
 * @returns {string} sentences for a person, with a way out; a line each where there are many
 */
export function failureText(error) {
  if (error instanceof PeerError && error.path) return pathText(error.path);
  const reason = error instanceof HandclaspError ? error.reason : "";
  const message = error instanceof Error ? error.message : String(error);
  if (`fail.${reason}` in words) return t(/** @type {Word} */ (`fail.${reason}`), message);
  return t("fail.other", message);
}

/** @param {import("../lib/rtc/ice-report.js").PathReport} report */
function pathText(report) {
  const [what, why, ...found] = pathWords(report).map((word) => t(word));
  return [what, why, "", ...found].join("\n");
}

/**
 * @param {number} bytes
 * @returns {string} for example `20.5 MB`, in powers of 1000
 */
export function sizeText(bytes) {
  const power = Math.min(UNITS.length - 1, bytes < 1_000 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1_000 ** power;
  const unitDisplay = power === 0 ? "long" : "short";
  const maximumFractionDigits = power > 0 && value < 100 ? 1 : 0;
  return new Intl.NumberFormat(language, { style: "unit", unit: UNITS[power], unitDisplay, maximumFractionDigits }).format(value);
}

/**
 * @param {Date} date
 * @returns {string} the time of day, as the language writes it
 */
export function timeText(date) {
  return new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(date);
}

/**
 * @param {number} count
 * @param {number} bytes
 */
export function filesText(count, bytes) {
  return count === 1 ? t("one_file", sizeText(bytes)) : t("many_files", count, sizeText(bytes));
}

/**
 * @param {number} done
 * @param {number} size
 * @returns {number} whole percent, 100 only when all is there
 */
export function percent(done, size) {
  return size === 0 ? 100 : Math.floor((done / size) * 100);
}

/**
 * @param {number} seconds
 * @returns {string} for example `1 min 20 s left`
 */
export function leftText(seconds) {
  if (!Number.isFinite(seconds)) return t("left.none");
  const whole = Math.ceil(seconds);
  if (whole < 60) return t("left.seconds", whole);
  if (whole < 3_600) return t("left.minutes", Math.floor(whole / 60), whole % 60);
  return t("left.hours", Math.floor(whole / 3_600), Math.floor((whole % 3_600) / 60));
}
