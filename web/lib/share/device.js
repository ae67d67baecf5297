/**
 * What the two sides of a share tell each other about their devices, so that people recognize them: the family
 * of the browser and of the system, in words of a fixed list. It is sent only after both have proved the key.
 */

/** @typedef {keyof typeof PROGRAM_NAMES} Program command: `handclasp` in a terminal */
/** @typedef {keyof typeof SYSTEM_NAMES} System */
/** @typedef {{program: Program | null, system: System | null}} Device null: not known; at least one is known */

/** The words of a program, as they travel and as people know them. */
export const PROGRAM_NAMES = {
  chrome: "Chrome",
  edge: "Edge",
  firefox: "Firefox",
  opera: "Opera",
  safari: "Safari",
  samsung: "Samsung Internet",
  command: "the command",
};
/** The words of a system, as they travel and as people know them. */
export const SYSTEM_NAMES = {
  android: "Android",
  chromeos: "ChromeOS",
  ios: "iPhone",
  ipados: "iPad",
  linux: "Linux",
  macos: "Mac",
  windows: "Windows",
};

/** The first that matches counts: browsers name those that they want to be taken for. @type {Array<[RegExp, Program]>} */
const BROWSERS = [
  [/\bEdg(e|A|iOS)?\//, "edge"],
  [/\bOPR\/|\bOPT\/|\bOpera\b/, "opera"],
  [/\bSamsungBrowser\//, "samsung"],
  [/\bFirefox\/|\bFxiOS\//, "firefox"],
  [/Chrome\/|\bChromium\/|\bCriOS\//, "chrome"],
  [/\bSafari\//, "safari"],
];

/** @type {Array<[RegExp, System]>} */
const PLATFORMS = [
  [/Android/, "android"],
  [/\biPhone\b|\biPod\b/, "ios"],
  [/\biPad\b/, "ipados"],
  [/\bCrOS\b/, "chromeos"],
  [/Windows/, "windows"],
  [/Macintosh|Mac OS X/, "macos"],
  [/Linux|\bX11\b/, "linux"],
];

/** @type {Record<string, System>} by the name that Node.js has for it */
const NODE_PLATFORMS = { android: "android", darwin: "macos", linux: "linux", win32: "windows" };

/**
 * @param {{userAgent?: string, maxTouchPoints?: number}} [navigator] (default: the platform's)
 * @returns {Device | null} this device, if it is a browser that is known
 */
export function thisDevice({ userAgent = "", maxTouchPoints = 0 } = globalThis.navigator ?? {}) {
  const program = find(BROWSERS, userAgent);
  const system = find(PLATFORMS, userAgent);
  // An iPad calls itself a Macintosh, and no Macintosh has a touch screen.
  return toDevice(program, system === "macos" && maxTouchPoints > 1 ? "ipados" : system);
}

/**
 * @param {string} platform `process.platform` of Node.js
 * @returns {Device} a command on this system
 */
export function commandDevice(platform) {
  return { program: "command", system: NODE_PLATFORMS[platform] ?? null };
}

/**
 * @param {any} device as received
 * @returns {Device | null} only words of the lists: a later version may know more of them
 */
export function parseDevice(device) {
  const { program, system } = device ?? {};
  return toDevice(wordOf(PROGRAM_NAMES, program), wordOf(SYSTEM_NAMES, system));
}

/**
 * @template {object} T
 * @param {T} names
 * @param {unknown} word
 * @returns {keyof T | null}
 */
function wordOf(names, word) {
  return typeof word === "string" && Object.hasOwn(names, word) ? /** @type {keyof T} */ (word) : null;
}

/**
 * @param {Program | null} program
 * @param {System | null} system
 */
function toDevice(program, system) {
  return program || system ? { program, system } : null;
}

/**
 * @template T
 * @param {Array<[RegExp, T]>} table
 * @param {string} text
 * @returns {T | null}
 */
function find(table, text) {
  return table.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}
