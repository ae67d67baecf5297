/** Failures on the receiver's side in a real Chromium: messages with a remedy, and automatic recovery. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { openPage, screenshot } from "./chromium.mjs";
import { BIG, changeOnDisk, connectOnPage, done, removeFiles, sha256, shareFromDisk, underWay, visit } from "./real-files.mjs";
import { share } from "./app-steps.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();
after(removeFiles);

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
        "The two browsers found no direct path to each other.",
        "Most likely a VPN, a privacy extension or a policy of this device hides the addresses of this browser. Switch it off for this page, or use another browser.",
        "Details",
        "This browser found no address of its own.",
        "The sender’s browser sent only addresses of its local network.",
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
        "詳細",
        "このブラウザーが見つけたのはローカルネットワークのアドレスだけです。",
        "送信者のブラウザーが示したのはローカルネットワークのアドレスだけです。",
        "STUN サーバーは設定されていません。",
        "TURN サーバーは設定されていません。",
      ],
    ],
  ])) {
    test(`${title}: the page shows the problem, its cause and a remedy`, async () => {
      const { link, page: sharer } = await share(browser, broker.url, [file()]);
      // The receiver's connectivity checks would open the way from the other end.
      if (locale === "ja-JP") await sharer.evaluate(hinder);
      const { page, complaints } = await openPage(browser, { locale });
      await page.addInitScript(hinder);
      await page.goto(link);
      await page.click("#connect");
      await page.locator("#receive-error:visible").waitFor({ timeout: 120_000 });
      const shown = async () => (await page.innerText("#receive-error")).split("\n").filter((line) => line !== "");
      assert.deepEqual(await shown(), told.slice(0, 3));
      await page.click("#receive-error summary");
      assert.deepEqual(await shown(), told);
      await screenshot(page, `receive-no-path-${locale}`);
      assert.deepEqual(complaints, []);
    });
  }
});

const UNREADABLE = "The sender’s browser cannot read the file any more";

for (const [title, change, told] of /** @type {Array<[string, (path: string) => Promise<void>, string]>} */ ([
  ["written to", (path) => appendFile(path, "more"), UNREADABLE],
  // It is shorter for a moment, and the browser may still be reading a piece that was requested before the pause.
  ["replaced by another of the same size", (path) => writeFile(path, randomBytes(BIG.length)), `(${UNREADABLE}|The file has changed on the sender’s disk)`],
  ["deleted", (path) => rm(path), UNREADABLE],
])) {
  test(`a file that is ${title} on the sender's disk during its transfer is never reported as arrived`, async () => {
    const text = new RegExp(`1 of 2 files arrived and are verified\\. Missing: big\\.bin: ${told}`);
    await changeOnDisk(browser, browser, broker.url, change, text);
  });
}

test("a receiver's page continues in the background", async (t) => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const real = await launchReal();
  t.after(() => real.close());
  const page = await real.context.newPage();
  await page.goto(sharer.link);
  await connectOnPage(page);
  await page.click("#download");
  await underWay(page);
  await (await real.context.newPage()).bringToFront();
  assert.equal(await page.evaluate(() => document.visibilityState), "hidden");
  await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).waitFor({ timeout: 60_000 });
  await page.locator("#receive-hash").getByText(sha256(BIG)).waitFor();
  assert.equal(await page.evaluate(() => document.visibilityState), "hidden");
});

/** A browser like that of users: Playwright's browsers treat every page as the foreground page. */
async function launchReal() {
  const profile = await mkdtemp(join(tmpdir(), "handclasp-"));
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-features=WebRtcHideLocalIpsWithMdns"];
  const child = spawn(process.env.CHROMIUM ?? "/usr/bin/chromium", [...flags, "--remote-debugging-port=0", `--user-data-dir=${profile}`], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true, // a process group of its own, which can be put to sleep as a whole
  });
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stderr })) {
    const address = /ws:\/\/\S+/.exec(line)?.[0];
    if (!address) continue;
    const connected = await chromium.connectOverCDP(address, { noDefaults: true });
    return {
      context: connected.contexts()[0],
      signal: (/** @type {NodeJS.Signals} */ name) => process.kill(-Number(child.pid), name),
      async close() {
        process.kill(-Number(child.pid), "SIGKILL"); // asleep or not
        await exited;
        await rm(profile, { recursive: true, force: true, maxRetries: 5 });
      },
    };
  }
  return assert.fail("no browser");
}

test("a receiver that was suspended during a download continues when it is resumed", async (t) => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG });
  const real = await launchReal();
  t.after(() => real.close());
  const page = await real.context.newPage();
  await page.goto(sharer.link);
  await connectOnPage(page);
  await page.click("#download");
  await underWay(page);
  real.signal("SIGSTOP");
  // So long that the sender's browser gives the connection up.
  await sharer.page.getByText(/^Left at /).waitFor({ timeout: 120_000 });
  real.signal("SIGCONT");
  await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).waitFor({ timeout: 60_000 });
  await page.locator("#receive-hash").getByText(sha256(BIG)).waitFor();
});

test("a tab that is duplicated during a download is another receiver, and the first one goes on", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "big.bin": BIG, "small.txt": "small" });
  const { page } = await visit(browser, sharer.link);
  await page.getByRole("checkbox", { name: "small.txt" }).uncheck();
  await page.click("#download");
  await underWay(page);
  await page.click("#pause");
  await page.getByText(/^Paused at/).waitFor();
  assert.equal(await page.getByRole("checkbox", { name: "small.txt" }).isEnabled(), false, "what is under way cannot be chosen anew");
  // As a browser duplicates a tab: what the tab remembers comes along.
  const popup = page.waitForEvent("popup");
  await page.evaluate(() => void window.open(location.href));
  const twin = await popup;
  await twin.getByText("Another tab of this browser is downloading the same file").waitFor();
  await sharer.page.locator("#receivers li").nth(1).waitFor();
  await twin.close();
  const saved = page.waitForEvent("download");
  await page.click("#pause");
  await done(page);
  assert.equal(sha256(await readFile(await (await saved).path())), sha256(BIG));
});

test("the result of a download stays visible when the sender adds a file", async () => {
  const sharer = await shareFromDisk(browser, broker.url, { "a.txt": "a" });
  const { page } = await visit(browser, sharer.link);
  await page.click("#download");
  await done(page);
  await sharer.page.setInputFiles("#more", { name: "later.txt", mimeType: "text/plain", buffer: Buffer.from("later") });
  await page.getByText("later.txt").waitFor();
  assert.equal(await page.getByText("Download complete, verified").isVisible(), true);
});
