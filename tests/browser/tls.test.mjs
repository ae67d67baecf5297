/** The app in a real Chromium by https, served by the broker itself; and PeerJS by wss. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { startBroker } from "../broker.mjs";
import { publicKeyHash } from "../certificate.mjs";
import { temporaryCertificate, testOverTls } from "../over-tls.mjs";
import { connect, download, share } from "./app-steps.mjs";
import { launch, openPage } from "./chromium.mjs";

await testOverTls(["browser/peerjs.test.mjs"]);

const { cert, key, ca } = await temporaryCertificate();
const browser = await launch([`--ignore-certificate-errors-spki-list=${publicKeyHash(ca)}`]);
after(() => browser.close());
const broker = await startBroker({ set: { "tls.cert": cert, "tls.key": key, "tls.redirect": "127.0.0.1:0" } });
after(() => broker.kill());

test("a file arrives from one page at another, by links that begin with https", async () => {
  const bytes = randomBytes(3_000_000);
  const sharer = await share(browser, broker.url, [{ name: "holiday.mov", bytes }]);
  assert.ok(sharer.link.startsWith(`${broker.url}?peer_id=`), sharer.link);
  const receiver = await connect(browser, sharer.link);
  const saved = await download(receiver.page);
  assert.ok(saved.bytes.equals(bytes), "the bytes that were saved differ from those shared");
  assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
});

test("a person who types the name without https gets the page, with all that browsers give to https alone", async () => {
  const { page } = await openPage(browser);
  const redirect = /^redirect (http:.*)$/m.exec(broker.said())?.[1];
  await page.goto(`${redirect}?peer_id=00000000-0000-4000-8000-000000000001`);
  assert.ok(page.url().startsWith(`${broker.url}?peer_id=`), page.url());
  const has = await page.evaluate(() => [isSecureContext, "subtle" in crypto, "clipboard" in navigator, "serviceWorker" in navigator]);
  assert.deepEqual(has, [true, true, true, true]);
});
