/** The app in a real Chromium: files arrive from one page at another, or there is an error message. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { startBroker } from "../broker.mjs";
import { unzip } from "../unzip.mjs";
import { openPage } from "./chromium.mjs";
import { bytesHeard, connect, download, pick, setPassword, share, tryPasswords, tryWrongKey } from "./app-steps.mjs";
import { done, reaches, underWay, visit, withoutDisk } from "./real-files.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();

const file = (name = "secret plan.bin", bytes = randomBytes(100_000)) => ({ name, bytes });

for (const [title, size] of /** @type {Array<[string, number]>} */ ([
  ["20 MB", 20_000_000],
  ["0 bytes", 0],
])) {
  test(`a file of ${title} arrives completely, and both pages show it`, async () => {
    const bytes = randomBytes(size);
    const sharer = await share(browser, broker.url, [file("holiday.mov", bytes)]);
    const receiver = await connect(browser, sharer.link);
    const saved = await download(receiver.page);
    assert.equal(saved.name, "holiday.mov");
    assert.ok(saved.bytes.equals(bytes), "the bytes that were saved differ from those shared");
    await done(receiver.page);
    await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).waitFor();
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    await sharer.page.getByText("Details", { exact: true }).click();
    await sharer.page.locator("#share-hash").getByText(sha256).waitFor();
    await receiver.page.locator("#receive-hash").getByText(sha256).waitFor();
    assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
  });
}

test("many files with folders and unusual names arrive as a ZIP archive", async () => {
  const sharer = await share(browser, broker.url, [file("a.txt", Buffer.from("first")), file("empty", Buffer.alloc(0))]);
  await pick(sharer.page, "#more", [file("big.bin", Buffer.alloc(3_000_000, 7))]);
  await sharer.page.evaluate(() => {
    const names = ["trip/day 1/a.jpg", "trip/day 1/A.JPG", "../../etc/passwd", "x/\u202Egpj.exe", "con", "a\\b:c"];
    const files = names.map((name) => Object.defineProperty(new File([name], "x"), "webkitRelativePath", { value: name }));
    const input = document.querySelector("#more-folder");
    Object.defineProperty(input, "files", { value: files });
    input.dispatchEvent(new Event("change"));
  });
  const receiver = await connect(browser, sharer.link);
  assert.equal(await receiver.page.locator("#offers [role=row]:not([aria-expanded])").count(), 9);
  await receiver.page.getByText("Names changed to be safe on this device: 4").click();
  await receiver.page.getByText("a\\b:c → a_b_c").waitFor();
  const saved = await download(receiver.page);
  const members = await unzip(saved.bytes);
  assert.deepEqual([...members].map(([name, bytes]) => [name, bytes.length < 50 ? bytes.toString() : bytes.length]), [
    ["a.txt", "first"],
    ["empty", ""],
    ["big.bin", 3_000_000],
    ["trip/day 1/a.jpg", "trip/day 1/a.jpg"],
    ["trip/day 1/A (2).JPG", "trip/day 1/A.JPG"],
    ["file/file/etc/passwd", "../../etc/passwd"],
    ["x/gpj.exe", "x/\u202Egpj.exe"],
    ["_con", "con"],
    ["a_b_c", "a\\b:c"],
  ]);
  assert.deepEqual([...sharer.complaints, ...receiver.complaints], []);
});

test("files and folders can be dropped anywhere", async () => {
  const sharer = await openPage(browser);
  await sharer.page.goto(broker.url);
  await sharer.page.locator("#drop").waitFor();
  await sharer.page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["one"], "one.txt"));
    dataTransfer.items.add(new File(["two"], "two.txt"));
    document.querySelector("footer").dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
  });
  await sharer.page.locator("#share-sum", { hasText: /^2 files, 6 bytes$/ }).waitFor();
});

test("200 MB arrive although the connection breaks in the middle, and no piece is sent twice", async () => {
  const bytes = Buffer.alloc(200_000_000, randomBytes(1_000_003));
  const sharer = await share(browser, broker.url, [file("big.bin", bytes.subarray(0, 1))]);
  // Beyond what Playwright hands to a page, so the page makes the file.
  await sharer.page.evaluate(() => {
    const block = crypto.getRandomValues(new Uint8Array(50_000));
    window.big = new File(Array(4_000).fill(block), "200.bin");
    const input = document.querySelector("#more");
    Object.defineProperty(input, "files", { value: [window.big] });
    input.dispatchEvent(new Event("change"));
  });
  const receiver = await connect(browser, sharer.link);
  const { page } = receiver;
  await page.getByRole("checkbox", { name: "big.bin" }).uncheck();
  const saved = download(page);
  await reaches(page, 30);
  await sharer.page.evaluate(() => window.peerConnections.forEach((connection) => connection.close()));
  const { bytes: arrived } = await saved;
  await done(page);
  const hash = await sharer.page.evaluate(async () => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", await window.big.arrayBuffer()))));
  assert.deepEqual([...new Uint8Array(await crypto.subtle.digest("SHA-256", arrived))], hash);
  const sent = await bytesHeard(receiver.heard);
  assert.ok(sent < 200_000_000 + 6 * 2 ** 20, `${sent} bytes were sent`);
});

test("a download continues after the receiver's reload", async () => {
  const bytes = randomBytes(40_000_000);
  const sharer = await share(browser, broker.url, [file("big.bin", bytes)]);
  const receiver = await connect(browser, sharer.link);
  const { page } = receiver;
  await page.click("#download");
  await reaches(page, 30);
  const saved = await download(page, () => page.reload());
  assert.ok(saved.bytes.equals(bytes));
  const sent = await bytesHeard(receiver.heard);
  assert.ok(sent < 30_000_000, `${sent} bytes were sent after the reload`);
  assert.equal(await sharer.page.locator("#receivers li").count(), 1);
});

test("the link stays the same after the sender's reload, and a download continues when the file is chosen again", async () => {
  const bytes = randomBytes(40_000_000);
  const sharer = await share(browser, broker.url, [file("big.bin", bytes)]);
  const receiver = await connect(browser, sharer.link);
  const saved = download(receiver.page);
  await underWay(receiver.page);
  await sharer.page.reload();
  await sharer.page.getByText("The link is still the same").waitFor();
  assert.equal(await sharer.page.inputValue("#link"), sharer.link);
  await pick(sharer.page, "#more", [file("big.bin", bytes)]);
  assert.ok((await saved).bytes.equals(bytes));
  await done(receiver.page);
});

test("three receivers at once get the same file", async () => {
  const bytes = randomBytes(8_000_000);
  const sharer = await share(browser, broker.url, [file("a.bin", bytes)]);
  const receivers = await Promise.all([1, 2, 3].map(() => connect(browser, sharer.link)));
  const saved = await Promise.all(receivers.map(({ page }) => download(page)));
  for (const { bytes: arrived } of saved) assert.ok(arrived.equals(bytes));
  await sharer.page.locator("#receivers span", { hasText: /^Complete$/ }).nth(2).waitFor();
});

test("a receiver pauses, resumes and cancels; the sender sees each state", async () => {
  const sharer = await share(browser, broker.url, [file("a.bin", randomBytes(45_000_000))]);
  const { page } = await connect(browser, sharer.link);
  await page.click("#download");
  await underWay(page);
  await page.getByRole("button", { name: "Pause" }).click();
  await sharer.page.getByText(/^Paused at/).waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await sharer.page.getByText(/^\d+ % of 45 MB written/).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Cancelled. Partial data deleted.").waitFor();
  await sharer.page.getByText(/^Cancelled at/).waitFor();
});

test("a sender ends the download of one receiver, which shows it", async () => {
  const sharer = await share(browser, broker.url, [file("a.bin", randomBytes(45_000_000))]);
  const { page } = await connect(browser, sharer.link);
  await page.click("#download");
  await underWay(page);
  await sharer.page.getByRole("button", { name: "Stop Receiver 1" }).click();
  await page.getByText("ended this transfer").waitFor();
  await sharer.page.getByText(/^You stopped this download at \d+ %$/).waitFor();
});

for (const count of [1, 2]) {
  test(`without room on the disk, ${count === 1 ? "a file goes" : "files go"} directly into a download of the browser`, async () => {
    const bytes = randomBytes(9_000_000);
    const files = [file("größe 大.bin", bytes), file("b.bin", bytes.subarray(5))].slice(0, count);
    const sharer = await share(browser, broker.url, files);
    const receiver = await visit(browser, sharer.link, withoutDisk);
    const saved = await download(receiver.page);
    await done(receiver.page);
    const got = count === 1 ? new Map([[saved.name, saved.bytes]]) : await unzip(saved.bytes);
    for (const { name, bytes: expected } of files) assert.ok(got.get(name)?.equals(expected), name);
    assert.deepEqual(receiver.complaints, []);
  });
}

test("a picked folder keeps the folders of the share, and nothing in it is overwritten", async () => {
  const sharer = await share(browser, broker.url, [file("a.txt", Buffer.from("new"))]);
  const receiver = await openPage(browser);
  // Headless browsers have no picker; the private file system has the same interface.
  await receiver.page.addInitScript(() => {
    window.showDirectoryPicker = async () => (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
  });
  await receiver.page.goto(sharer.link);
  await receiver.page.click("#connect");
  for (let round = 0; round < 2; round++) {
    await receiver.page.getByRole("button", { name: "Save to a folder" }).click();
    await done(receiver.page);
    await receiver.page.locator("#takes").waitFor();
  }
  const names = await receiver.page.evaluate(async () => {
    const folder = await window.showDirectoryPicker();
    return (await Array.fromAsync(folder.keys())).sort();
  });
  assert.deepEqual(names, ["a (2).txt", "a.txt"]);
});

test("no connection is made before Connect is pressed", async () => {
  const { link } = await share(browser, broker.url, [file()]);
  const visitor = await openPage(browser);
  /** @type {string[]} */
  const sockets = [];
  visitor.page.on("websocket", (socket) => sockets.push(socket.url()));
  await visitor.page.addInitScript(() => {
    window.RTCPeerConnection = class {
      constructor() {
        throw new Error("asked for ICE before Connect");
      }
    };
  });
  await visitor.page.goto(link);
  await visitor.page.getByRole("button", { name: "Connect" }).waitFor();
  await visitor.page.waitForLoadState("networkidle");
  assert.deepEqual([sockets, visitor.complaints], [[], []]);
});

test("a wrong key is refused with a message, and no file name leaks", async () => {
  await tryWrongKey(browser, browser, broker.url);
});

test("the page asks for a password, refuses a wrong one and accepts the right one", async () => {
  await tryPasswords(browser, browser, broker.url);
});

test("a link that was given out before the password was set asks for the password", async () => {
  const sharer = await share(browser, broker.url, [file("a.txt", Buffer.from("hello"))]);
  await setPassword(sharer.page, "correct horse");
  const { page } = await openPage(browser);
  await page.goto(sharer.link);
  await page.click("#connect");
  await page.getByText("This link needs a password").waitFor();
  assert.equal(await page.locator("#receive-error").isVisible(), false);
  await page.getByRole("textbox", { name: "Password" }).fill("correct horse");
  await page.click("#connect");
  assert.equal((await download(page)).bytes.toString(), "hello");
});

test("a link without its key is refused before any connection is made", async () => {
  const { link } = await share(browser, broker.url, [file()]);
  const { page } = await openPage(browser);
  await page.goto(link.replace(/#.*/, ""));
  await page.getByText("This link is damaged. Its end, the part after the #, is missing").waitFor();
  assert.equal(await page.getByRole("button", { name: "Connect" }).isVisible(), false);
});

test("an absent sender is shown as offline, and connected when it returns", async () => {
  const sharer = await share(browser, broker.url, [file()]);
  const { page } = await connect(browser, sharer.link);
  await sharer.page.goto("about:blank");
  await page.getByText("The sender is not online").waitFor();
  await sharer.page.goto(broker.url);
  await page.getByText("The sender shares no files at the moment").waitFor();
  await pick(sharer.page, "#more", [file("back.txt")]);
  await page.getByText("back.txt").waitFor();
});

test("a receiver is told that the sender has stopped sharing, and does not wait for them", async () => {
  const sharer = await share(browser, broker.url, [file("a.bin", randomBytes(45_000_000))]);
  const { page } = await connect(browser, sharer.link);
  await page.click("#download");
  await underWay(page);
  await sharer.page.getByRole("button", { name: "Stop sharing" }).click();
  await page.getByText("The sender has stopped sharing").waitFor();
  assert.equal(await page.locator("#connect").isVisible(), false);
  await page.getByLabel("Paste the whole link").waitFor();
  await sharer.page.locator("#drop").waitFor();
});

test("a complete download keeps its result when the sender stops sharing", async () => {
  const sharer = await share(browser, broker.url, [file()]);
  const { page } = await connect(browser, sharer.link);
  await download(page);
  await done(page);
  await sharer.page.getByRole("button", { name: "Stop sharing" }).click();
  await page.locator("#receive-state", { hasText: "The sender has stopped sharing" }).waitFor();
  await done(page);
  const seen = await Promise.all(["#received", "#connect", "#receive-error"].map((part) => page.locator(part).isVisible()));
  assert.deepEqual(seen, [true, false, false]);
});

test("after the sender's reload a receiver keeps its number, and how much it has", async () => {
  const sharer = await share(browser, broker.url, [file("a.bin", randomBytes(45_000_000))]);
  const first = await connect(browser, sharer.link);
  const second = await connect(browser, sharer.link);
  await second.page.click("#download");
  await underWay(second.page);
  await second.page.click("#pause");
  await sharer.page.getByText(/^Paused at/).waitFor();
  await first.page.close();
  await sharer.page.reload();
  const row = sharer.page.locator("#receivers li");
  await row.getByText("Receiver 2").waitFor();
  await row.getByText(/^Connected again, has [1-9]\d? % of/).waitFor();
});

test("the link of a stopped share never works again", async () => {
  const sharer = await share(browser, broker.url, [file()]);
  // On a slow uplink it takes a while, so the button says at once what happens.
  await sharer.page.locator("#stop").evaluate((stop) => {
    stop.addEventListener("click", () => sessionStorage.setItem("pressed", `${stop.disabled} ${stop.textContent}`));
  });
  await sharer.page.getByRole("button", { name: "Stop sharing" }).click();
  await sharer.page.locator("#drop").waitFor();
  assert.equal(await sharer.page.evaluate(() => sessionStorage.getItem("pressed")), "true Telling the receivers…");
  await pick(sharer.page, "#file", [file()]);
  await sharer.page.locator("#share-state:not(:empty)").waitFor();
  assert.notEqual(await sharer.page.inputValue("#link"), sharer.link);
});

test("the sender's connection to the broker may break and return", async () => {
  const own = await startBroker();
  const sharer = await share(browser, own.url, [file("a.txt", Buffer.from("hello"))]);
  await own.kill();
  await sharer.page.locator("#share-state", { hasText: "Reconnecting…" }).waitFor();
  const again = await startBroker({ port: own.port });
  await sharer.page.getByText("Ready. The link works").waitFor();
  const receiver = await connect(browser, sharer.link);
  assert.equal((await download(receiver.page)).bytes.toString(), "hello");
  await again.kill();
});
