/** The library on a page without a bundler: its entry points by URL, and what they export. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();

for (const [path, names] of /** @type {const} */ ([
  [
    "/lib/index.js",
    "AbortedError Channel ClosedError DisconnectedError EndpointError HandclaspError OverflowError PermissionError Presence ProtocolError RefusedError RejectedError Socket TimeoutError TokenError TooBigError",
  ],
  [
    "/lib/rtc/index.js",
    "Connection ConnectionFactory ConnectionPool Peer PeerError PooledConnection createIdentity isPeerId namedIdentity peerIdOf restoreIdentity",
  ],
  [
    "/lib/share/index.js",
    "Download FileFetch FileShare FolderTarget KEY_BYTES MemoryTarget PickedFileTarget ProofError TextTarget TransferError derivePasswordKey emptyFolder makeLink openTarget prove readLink receive share textFile thisDevice",
  ],
])) {
  test(`a page imports ${path}`, async () => {
    const { page, complaints } = await openPage(browser);
    await page.goto(broker.url);
    const exported = await page.evaluate(async (url) => Object.keys(await import(url)), path);
    assert.deepEqual(exported.sort(), names.split(" ").sort());
    assert.deepEqual(complaints, []);
  });
}
