/** The real broker in the middle of a network, with a real Chromium at each of its two ends. */

import { startBroker } from "../broker.mjs";
import { CHROMIUM, launch } from "./chromium.mjs";
import { MIDDLE, openNetwork, programOn } from "./netns.mjs";

const PORT = 4000;

/**
 * @param {import("node:test").TestContext} t at whose end all of it ends
 * @param {object} [options]
 * @param {Array<import("./netns.mjs").Router | null>} [options.routers] of the two ends (default: none)
 * @param {(middle: import("./netns.mjs").Machine) => Promise<{end: () => Promise<void>, set: Record<string, string>}>} [options.prepare]
 *   starts what the broker is to know of by its configuration
 */
export async function startApart(t, { routers, prepare } = {}) {
  /** @type {Array<() => Promise<any>>} */
  const ends = [];
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  const network = await openNetwork(routers);
  ends.push(network.end);
  const prepared = await prepare?.(network.middle);
  if (prepared) ends.push(prepared.end);
  const { set } = prepared ?? {};
  const broker = await startBroker({ enter: network.middle.enter, host: MIDDLE, port: PORT, set });
  ends.push(broker.kill);
  /** @param {import("./netns.mjs").Machine} machine */
  const browserOn = async (machine) => {
    const program = await programOn(machine, CHROMIUM);
    ends.push(program.remove);
    // Away from its own machine a page without TLS has neither files nor hashes. Nobody vouches for the TURN server.
    const flags = [`--unsafely-treat-insecure-origin-as-secure=${broker.url}`, "--ignore-certificate-errors"];
    const browser = await launch(flags, program.path);
    ends.push(() => browser.close());
    return browser;
  };
  return { network, broker, browserA: await browserOn(network.a), browserB: await browserOn(network.b) };
}
