/** The receiver's page in its main states, on screens of each width: axe-core finds no problem, and nothing is too wide. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { script, share } from "./app-steps.mjs";
import { openPage } from "./chromium.mjs";
import { inspect } from "./page-checks.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();

const FILES = [
  { name: "Quarterly report, final version.pdf", bytes: randomBytes(30_000_000) },
  { name: "a name that is much longer than any phone is wide, since people do call their files like that.txt", bytes: randomBytes(10) },
];
const TEXT = "The door code is 4821.\nSee you at https://example.org/a-rather-long-address-that-has-to-wrap-on-a-phone-somewhere?and=more\n";
const LOOKS = /** @type {Array<[number, "light" | "dark"]>} */ ([[320, "light"], [390, "dark"], [768, "light"], [1280, "dark"], [2560, "light"]]);

for (const [width, colorScheme] of LOOKS) {
  test(`the receiver's page is whole at ${width} px, ${colorScheme}`, async () => {
    const options = { viewport: { width, height: 800 }, colorScheme };
    const sharer = await share(browser, broker.url, FILES);
    await sharer.page.click("#more-text");
    await sharer.page.fill("#text", TEXT);
    const look = `${width}-${colorScheme}`;
    await sharer.page.getByRole("button", { name: "Share this text" }).click();
    const { page, complaints } = await openPage(browser, options);
    await page.goto(sharer.link);
    await page.locator("#connect").waitFor();
    await inspect(page, `receiver-${look}-1-before`);
    await page.route(script("file-fetch"), async (route) => {
      await inspect(page, `receiver-${look}-2-connecting`);
      await route.continue();
    });
    await page.click("#connect");
    await page.locator("#verified").waitFor();
    await page.locator(".text-card").waitFor();
    await inspect(page, `receiver-${look}-3-offer`);
    await page.click("#download");
    await page.locator("#receive-figures", { hasText: /^[1-9]\d? %/ }).waitFor();
    await page.click("#pause");
    await inspect(page, `receiver-${look}-4-paused`);
    await page.click("#pause");
    await page.locator("#save").waitFor();
    assert.equal(await page.innerText("#receive-title"), "Received and verified");
    await inspect(page, `receiver-${look}-5-done`);
    await sharer.page.close();
    const late = await openPage(browser, options);
    await late.page.goto(sharer.link);
    await late.page.click("#connect");
    await late.page.getByText("The sender is not online").waitFor();
    await inspect(late.page, `receiver-${look}-6-absent`);
    assert.deepEqual([...complaints, ...late.complaints], []);
  });
}
