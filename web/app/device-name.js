/** The device of the other side, as a person would name it. */

import { PROGRAM_NAMES, SYSTEM_NAMES } from "../lib/share/device.js";
import { t } from "./i18n.js";

/**
 * @param {import("../lib/share/device.js").Device | null} device
 * @returns {string} for example `Chrome on Android`; empty if nothing is known
 */
export function deviceName(device) {
  const { program, system } = device ?? {};
  const programName = program === "command" ? t("device_command") : program ? PROGRAM_NAMES[program] : "";
  const systemName = system ? SYSTEM_NAMES[system] : "";
  return programName && systemName ? t("device_on", programName, systemName) : programName || systemName;
}
