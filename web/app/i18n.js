/** The app's texts in the user's language, with figures, and a message for every error. */

import { PeerError } from "../lib/rtc/errors.js";
import { countFiles, totalSize } from "../lib/share/file-entry.js";
import { errorKey } from "./error-key.js";
import { iceAdvice } from "./ice-advice.js";

/** @typedef {keyof typeof import("./locales/en.js").default} TextKey */

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
/** @type {Record<string, () => Promise<{default: Record<TextKey, string>}>>} */
const LOCALES = {
  en: () => import("./locales/en.js"),
  de: () => import("./locales/de.js"),
  es: () => import("./locales/es.js"),
  fr: () => import("./locales/fr.js"),
  ja: () => import("./locales/ja.js"),
  ko: () => import("./locales/ko.js"),
  pt: () => import("./locales/pt.js"),
  "zh-Hans": () => import("./locales/zh-Hans.js"),
  "zh-Hant": () => import("./locales/zh-Hant.js"),
};

/** The texts of the language that `loadLanguage` has chosen. @type {Record<TextKey, string>} */
export let texts;
/** Its tag. */
export let language = "en";

/**
 * Loads the first supported language of a list, and fills the page with its texts.
 *
 * @param {readonly string[]} preferred
 */
export async function loadLanguage(preferred) {
  language = supportedLanguage(preferred);
  texts = (await LOCALES[language]()).default;
  document.documentElement.lang = language;
  for (const place of document.querySelectorAll("[data-t]")) {
    place.textContent = texts[/** @type {TextKey} */ (place.getAttribute("data-t"))];
  }
  for (const place of document.querySelectorAll("[data-t-label]")) {
    place.setAttribute("aria-label", texts[/** @type {TextKey} */ (place.getAttribute("data-t-label"))]);
  }
}

/**
 * @param {readonly string[]} preferred language tags, the most wanted first
 * @returns {string} the first language of them that the app has, else English
 */
export function supportedLanguage(preferred) {
  return preferred.map(localeOf).find((tag) => Object.hasOwn(LOCALES, tag)) ?? "en";
}

/** @param {string} tag for example `pt-BR`; some browsers give tags that Intl.Locale refuses */
function localeOf(tag) {
  const [first, ...rest] = tag.toLowerCase().split("-");
  if (first !== "zh") return first;
  const traditional = !rest.includes("hans") && rest.some((part) => ["hant", "tw", "hk", "mo"].includes(part));
  return traditional ? "zh-Hant" : "zh-Hans";
}

/**
 * @param {TextKey} key
 * @param {Array<string | number>} values for `{0}`, `{1}`...
 * @returns {string}
 */
export function t(key, ...values) {
  return texts[key].replace(/\{(\d)\}/g, (_, index) => String(values[Number(index)] ?? ""));
}

/**
 * @param {unknown} error
 * @returns {string} sentences that tell the user what happened and what to do, on one or more lines
 */
export function errorText(error) {
  return iceLines(error)?.slice(0, 2).join("\n") ?? t(errorKey(error, texts));
}

/**
 * @param {unknown} error
 * @returns {string} what the browser found, on lines; empty if there is nothing to add
 */
export function errorDetails(error) {
  return iceLines(error)?.slice(2).join("\n") ?? "";
}

/** @param {unknown} error */
function iceLines(error) {
  if (!(error instanceof PeerError && error.iceReport)) return null;
  return iceAdvice(error.iceReport).map((key) => t(key));
}

/** @type {Map<string, Intl.NumberFormat>} creating one costs more than the rest of a row */
const sizeFormats = new Map();

/**
 * @param {number} bytes
 * @returns {string} for example `20.5 MB`, in powers of 1000
 */
export function formatSize(bytes) {
  const power = Math.min(UNITS.length - 1, bytes < 1_000 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1_000 ** power;
  const unitDisplay = power === 0 ? "long" : "short";
  const maximumFractionDigits = power > 0 && value < 100 ? 1 : 0;
  const key = `${power} ${maximumFractionDigits}`;
  const format = sizeFormats.get(key) ?? new Intl.NumberFormat(language, { style: "unit", unit: UNITS[power], unitDisplay, maximumFractionDigits });
  sizeFormats.set(key, format);
  return format.format(value);
}

/**
 * @param {Date} date
 * @returns {string} the time of day in the user's language
 */
export function formatTime(date) {
  return new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(date);
}

/**
 * @param {Date} date
 * @returns {string} the time of day, with the date unless it is today
 */
export function formatMoment(date) {
  if (date.toDateString() === new Date().toDateString()) return formatTime(date);
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(date);
}

/**
 * @param {import("../lib/share/file-entry.js").FileEntry[]} entries
 * @returns {string} their number and their size
 */
export function formatFiles(entries) {
  const size = formatSize(totalSize(entries));
  const count = countFiles(entries);
  return count === 1 ? t("one_file", size) : t("many_files", count, size);
}

/**
 * @param {number} done
 * @param {number} total
 * @returns {number} whole percent, rounded down, so that 100 means all of it
 */
export function percent(done, total) {
  return total === 0 ? 100 : Math.floor((done / total) * 100);
}

/**
 * @param {number} seconds
 * @returns {string} for example `1 min 20 s left`
 */
export function formatTimeLeft(seconds) {
  if (!Number.isFinite(seconds)) return t("left.none");
  const whole = Math.ceil(seconds);
  if (whole < 60) return t("left.seconds", whole);
  if (whole < 3_600) return t("left.minutes", Math.floor(whole / 60), whole % 60);
  return t("left.hours", Math.floor(whole / 3_600), Math.floor((whole % 3_600) / 60));
}
