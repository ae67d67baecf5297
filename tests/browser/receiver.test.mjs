/** What goes wrong on the receiver's side, in a real Chromium: it is said in words, with the cure, and mended where it can be. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { startBroker } from "../broker.mjs";
import { launch, openPage, screenshot } from "./chromium.mjs";
import { share } from "./sharing.mjs";

/** @type {import("../broker.mjs").Broker} */
let broker;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  broker = await startBroker();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await broker?.kill();
});

const file = (name = "a.bin", bytes = randomBytes(100_000)) => ({ name, bytes });

// Each takes the half minute that a path is looked for.
describe("without a path", { concurrency: true }, () => {
  for (const [title, locale, hinder, told] of /** @type {const} */ ([
    [
      "a blocker that hides every address",
      "en-GB",
      () => {
        const Real = RTCPeerConnection;
        window.RTCPeerConnection = class extends Real {
          constructor(config) {
            super({ ...config, iceTransportPolicy: "relay" });
          }
        };
      },
      [
        "The two browsers found no direct way to each other.",
        "Most likely a VPN, a privacy extension or a rule of this device keeps this browser from saying where it can be reached. Switch it off for this page, or use another browser.",
        "",
        "This browser found no address of its own.",
        "The sender’s browser named only addresses of its local network.",
        "No STUN server is configured.",
        "No TURN server is configured.",
      ],
    ],
    [
      "networks that do not let each other in",
      "ja-JP",
      () => {
        // Their addresses are known, and nothing gets there: port 9 throws everything away.
        const nowhere = (text) => text.replace(/(candidate:\S+ \d \S+ \d+) \S+ \d+ typ/g, "$1 192.0.2.1 9 typ");
        const { setRemoteDescription, addIceCandidate } = RTCPeerConnection.prototype;
        RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
          return setRemoteDescription.call(this, { type, sdp: nowhere(sdp) });
        };
        RTCPeerConnection.prototype.addIceCandidate = function (candidate) {
          return addIceCandidate.call(this, JSON.parse(nowhere(JSON.stringify(candidate ?? null))) ?? undefined);
        };
      },
      [
        "二つのブラウザーの間に直接の経路が見つかりません。",
        "このサーバーは同じネットワークのブラウザー同士しか引き合わせられません。VPN やゲスト Wi-Fi を使わずに同じネットワークにつなぐか、STUN と TURN のサーバーを設定するよう運営者に頼んでください。",
        "",
        "このブラウザーが見つけたのはローカルネットワークのアドレスだけです。",
        "送信者のブラウザーが示したのはローカルネットワークのアドレスだけです。",
        "STUN サーバーは設定されていません。",
        "TURN サーバーは設定されていません。",
      ],
    ],
  ])) {
    test(`${title}: the page says what was found, why, and what helps`, async () => {
      const { link, page: sharer } = await share(browser, broker.url, [file()]);
      // The receiver's connectivity checks would open the way from the other end.
      if (locale === "ja-JP") await sharer.evaluate(hinder);
      const { page, complaints } = await openPage(browser, { locale });
      await page.addInitScript(hinder);
      await page.goto(link);
      await page.click("#connect");
      await page.locator("#receive-error:visible").waitFor({ timeout: 45_000 });
      assert.deepEqual((await page.innerText("#receive-error")).split("\n"), told);
      await screenshot(page, `receive-no-path-${locale}`);
      assert.deepEqual(complaints, []);
    });
  }
});
