/** Starts the real broker and a real Chromium for a file of tests, and stops them after its last test. */

import { after } from "node:test";
import { startBroker } from "../broker.mjs";
import { launch } from "./chromium.mjs";

/**
 * @param {object} [options]
 * @param {string[]} [options.flags] for Chromium, besides the usual ones
 * @param {Record<string, string | number>} [options.set] for the broker: configuration keys
 */
export async function start({ flags, set } = {}) {
  const broker = await startBroker({ set });
  try {
    const browser = await launch(flags);
    after(async () => {
      await browser.close();
      await broker.kill();
    });
    return { broker, browser };
  } catch (error) {
    await broker.kill();
    throw error;
  }
}
