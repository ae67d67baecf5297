/** The developers' page in Chromium: every snippet runs as it stands, the console, the handshake, and the check of ICE. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as inFolder } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { startBroker } from "../broker.mjs";
import { startNginxBelow } from "../proxies.mjs";
import { openPage } from "./chromium.mjs";
import { MIDDLE } from "./netns.mjs";
import { inspect } from "./page-checks.mjs";
import { start } from "./setup.mjs";
import { startTurn } from "./turn.mjs";
import { startApart } from "./two-networks.mjs";

const run = promisify(execFile);
const { broker, browser } = await start({ set: { "hello.enabled": true, "relay.enabled": true } });
/** A broker with a folder of pages of its own, on which the snippets run: its developers' page stands beside them. */
const folder = await mkdtemp(inFolder(tmpdir(), "handclasp-snippets-"));
const own = await startBroker({ set: { "page.dir": folder, "hello.enabled": true, "relay.enabled": true } });
after(async () => {
  await own.kill();
  await rm(folder, { recursive: true });
});

/** @param {string} path */
const readPackage = (path) => readFile(new URL(`../node_modules/${path}`, import.meta.url), "utf8");
/** The packages that the snippets import. */
const PACKAGES = {
  phoenix: await readPackage("phoenix/priv/static/phoenix.mjs"),
  // Its module for bundlers imports further packages; this is the one for pages.
  peerjs: `${await readPackage("peerjs/dist/peerjs.min.js")}\nexport const { Peer } = window;`,
  "socket.io-client": await readPackage("socket.io-client/dist/socket.io.esm.min.js"),
};
for (const [name, code] of Object.entries(PACKAGES)) await writeFile(inFolder(folder, `${name}.js`), code);
const IMPORT_MAP = JSON.stringify({ imports: Object.fromEntries(Object.keys(PACKAGES).map((name) => [name, `/${name}.js`])) });

const PHONE = { viewport: { width: 390, height: 844 } };

/**
 * The page when it shows what the broker serves.
 *
 * @param {string} [url] of the broker
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
async function open(url = broker.url, options = {}) {
  const opened = await openPage(browser, options);
  await opened.page.goto(`${url}dev`);
  await opened.page.getByRole("heading", { name: "Endpoints" }).waitFor();
  return opened;
}

/** @param {import("playwright-core").Page} page */
const urlsOf = (page) => page.locator("#endpoints-body td:nth-child(2)").allTextContents();

test("the table has the endpoints that are on, with the address of this host", async () => {
  const { page, complaints } = await open();
  const [http, ws] = [broker.url.slice(0, -1), broker.url.slice(0, -1).replace("http", "ws")];
  const expected = [`${ws}/socket`, `${ws}/ws`, `${ws}/peer`, `${ws}/hello`, `${http}/`, `${ws}/relay`, `${http}/socket.io/`, `${http}/ice`];
  assert.deepEqual((await urlsOf(page)).sort(), expected.sort());
  for (const href of await page.locator("main a[href$='.md'], footer a").evaluateAll((links) => links.map((link) => /** @type {HTMLAnchorElement} */ (link).href))) {
    assert.equal((await page.request.get(href)).status(), 200, href);
  }
  await inspect(page, "dev");
  assert.deepEqual(complaints, []);
});

test("what is off is not there: no row, no snippet, no tool", async () => {
  const off = { "peerjs.enabled": false, "socketio.enabled": false, "ice.enabled": false };
  const other = await startBroker({ set: { ...off, "socket.mounts": '["/one"]', "relay.enabled": true } });
  after(() => other.kill());
  const { page, complaints } = await open(other.url);
  const ws = other.url.replace("http", "ws");
  assert.deepEqual(await urlsOf(page), [`${ws}one`, `${ws}relay`]);
  assert.deepEqual(await page.getByRole("tab").allTextContents(), ["Our library", "phoenix.js", "Plain WebSocket", "Plain relay", "curl"]);
  await join(page);

  // A server in Rust can mount other protocols alone.
  await page.route("**/dev/endpoints.json", (route) => route.fulfill({ json: { endpoints: [{ protocol: "relay", path: "/relay", pages: "any" }] } }));
  await page.reload();
  await page.getByRole("heading", { name: "Endpoints" }).waitFor();
  assert.deepEqual(await page.getByRole("tab").allTextContents(), ["Plain relay", "curl"]);
  for (const name of ["Console", "A handshake, live", "Check of ICE"]) assert.equal(await page.getByRole("heading", { name }).isVisible(), false, name);
  assert.deepEqual(complaints, []);
});

/** What each snippet prints, on its first runs alone with the broker. */
const PRINTS = {
  library: /^here: \[me\]$/m,
  files: /^open http.*\nshared: \[hello\.txt, 5 bytes\]$/m,
  phoenix: /^here: \[me\]$/m,
  peerjs: /^my id: [0-9a-f-]{36}$/m,
  socketio: /^my id: \S+$/m,
  websocket: /^\["1","2","room:lobby","phx_reply",\{"status":"ok","response":\{\}\}\]$/m,
  relay: /^connected$/m,
  hello: /"hello"/,
  curl: /^ok\n\n.*"iceServers".*\n.*"token":"[^"]+".*\n[0-9a-f-]{36}\n$/s,
};

/** @returns {Promise<Array<{id: string, language: string, code: string}>>} as the person copies them */
async function snippetsOf() {
  const { page } = await open(own.url);
  const found = [];
  for (const tab of await page.getByRole("tab").all()) {
    await tab.click();
    const code = page.locator("[data-snippet]:visible");
    found.push(await code.evaluate((element) => ({ id: element.dataset.snippet, language: element.dataset.language, code: element.innerText })));
  }
  await page.context().close();
  return found;
}

/**
 * Runs a module in a page that is empty but for an import map, until it has printed what is expected.
 *
 * @param {string} id
 * @param {string} code
 */
async function runInPage(id, code) {
  await writeFile(inFolder(folder, `${id}.mjs`), code);
  const head = `<!doctype html><link rel="icon" href="data:,"><script type="importmap">${IMPORT_MAP}</script>`;
  await writeFile(inFolder(folder, `${id}.html`), `${head}<script type="module" src="${id}.mjs"></script>`);
  const { page } = await openPage(browser);
  let printed = "";
  const isPrinted = new Promise((resolve, reject) => {
    page.on("console", (message) => {
      printed += `${message.text()}\n`;
      if (PRINTS[id].test(printed)) resolve(undefined);
    });
    page.on("pageerror", (error) => reject(new Error(`${error.message}, after: ${printed}`)));
  });
  await page.goto(`${own.url}${id}.html`);
  await isPrinted;
  await page.context().close();
}

/** @type {ReturnType<typeof snippetsOf> | null} */
let reading = null;
const snippets = () => (reading ??= snippetsOf());

test("there is a snippet for every client", async () => {
  assert.deepEqual((await snippets()).map(({ id }) => id).sort(), Object.keys(PRINTS).sort());
});

for (const id of Object.keys(PRINTS)) {
  test(`the snippet ${id} runs as it stands`, { timeout: 60_000 }, async () => {
    const { language, code } = (await snippets()).find((snippet) => snippet.id === id);
    assert.match(code, new RegExp(`127\\.0\\.0\\.1.*${own.port}`, "s"));
    if (language === "js") return runInPage(id, code);
    const { stdout } = await run("bash", ["-c", code]);
    assert.match(stdout, PRINTS[id]);
  });
}

test("a snippet is chosen by the arrow keys, and copied", async () => {
  const { page } = await open(broker.url, { permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByRole("tab", { name: "Our library", exact: true }).focus();
  await page.keyboard.press("End");
  assert.equal(await page.getByRole("tab", { name: "curl" }).getAttribute("aria-selected"), "true");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.getByRole("tabpanel", { name: "phoenix.js" }).getByRole("button", { name: "Copy" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), (await snippets()).find(({ id }) => id === "phoenix").code.replaceAll(String(own.port), String(broker.port)));
});

/**
 * @param {import("playwright-core").Page} page
 * @param {string} [topic]
 */
async function join(page, topic) {
  if (topic) await page.getByLabel("Topic").fill(topic);
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByText(/^Joined/).waitFor();
}

test("the console joins, pushes, and shows the frames of both ways and who is present", async () => {
  const [a, b] = [await open(broker.url, { permissions: ["clipboard-read", "clipboard-write"] }), await open()];
  await b.page.getByLabel("Params, as JSON").fill('{"meta": {"name": "<i>Bob</i>"}}');
  await join(a.page);
  await join(b.page);
  await a.page.locator("#presence").getByText("<i>Bob</i>").waitFor();
  await b.page.getByLabel("Payload, as JSON").fill('{"text": "<b>Hi</b>"}');
  await b.page.getByRole("button", { name: "Push" }).click();
  await b.page.getByText("The broker replied ok to “hello”").waitFor();
  const frame = a.page.locator("#frames li.received", { hasText: '"hello",{"text":"<b>Hi</b>"}' });
  await frame.waitFor();
  assert.match(await frame.innerText(), /^↓\s*received\s+\d\d:\d\d:\d\d\.\d{3} 53 B\n\[null,null,"room:lobby"/);
  await inspect(a.page, "dev-console");
  await a.page.getByRole("button", { name: "Copy as text" }).click();
  await a.page.getByRole("button", { name: "Copied" }).waitFor();
  assert.match(await a.page.evaluate(() => navigator.clipboard.readText()), /^\S+ sent 56 B \["1","1","room:lobby","phx_join",\{"meta":\{"name":"me"\}\}\]\n/);
  await b.page.getByRole("button", { name: "Leave" }).click();
  await b.page.getByText("Left.").waitFor();
  await a.page.locator("#presence").getByText("<i>Bob</i>").waitFor({ state: "detached" });
  assert.deepEqual([...a.complaints, ...b.complaints], []);
});

test("the console says what is wrong with params, payloads and topics, and goes on", async () => {
  const { page } = await open();
  await page.getByLabel("Params, as JSON").fill("{meta}");
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByText("The params are not JSON.").waitFor();
  await page.getByLabel("Params, as JSON").fill("");
  await page.getByLabel("Topic").fill("broker:other");
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByText("The broker refused it with the reason “Invalid subchannel”.").waitFor();
  await join(page, "room:other");
  await page.getByLabel("Payload, as JSON").fill("oops");
  await page.getByRole("button", { name: "Push" }).click();
  await page.getByText("The payload is not JSON.").waitFor();
  await inspect(page, "dev-console-error");
});

test("the console keeps the last 500 frames, stands still while it is paused, and is cleared", async () => {
  const { page } = await open();
  await join(page, "room:flood");
  const push = () => page.evaluate(() => document.querySelector("#push-form").requestSubmit());
  await page.getByRole("button", { name: "Pause" }).click();
  const rows = await page.locator("#frames li").count();
  await push();
  await page.getByText(/^Paused, \d+ newer/).waitFor();
  assert.equal(await page.locator("#frames li").count(), rows);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.locator("#frames li", { hasText: '"hello"' }).first().waitFor();

  await page.getByRole("button", { name: "Clear" }).click();
  await page.locator("#frames-state", { hasText: "0 frames" }).waitFor();
  // Each push is a frame, and so is its reply; fewer in a second than the broker accepts.
  await page.getByLabel("Event").fill("one-of-many");
  let count = 0;
  while (count <= 500) {
    await push();
    await page.getByText("The broker replied ok to “one-of-many”").waitFor();
    count = await page.evaluate(async () => {
      for (let at = 0; at < 20; at += 1) document.querySelector("#push-form").requestSubmit();
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      return Number(/(\d+) frames/.exec(document.querySelector("#frames-state").textContent)[1]);
    });
  }
  assert.match(await page.locator("#frames-state").innerText(), /^The last 500 of \d+ frames$/);
  assert.equal(await page.locator("#frames li").count(), 500);
});

test("two peers shake hands, drawn step by step and told in words", async () => {
  const { page, complaints } = await open(broker.url, PHONE);
  await page.getByRole("button", { name: "Shake hands" }).click();
  await page.getByText(/^Connected in \d+ ms/).waitFor();
  const steps = await page.getByRole("list", { name: "Steps of the handshake" }).getByRole("listitem").locator(".between").allTextContents();
  const told = steps.map((step) => step.replace(/^After \d+ ms, /, "").replace(/ × \d+$/, ""));
  const order = [
    "peer A to the broker: connect",
    "the broker to peer B: peer_connect",
    "peer B to the broker: offer",
    "the broker to peer A: offer",
    "peer A to the broker: answer",
    "the broker to peer B: answer",
    "peer A to peer B: data channel open",
    "peer A to peer B: “Hello from A”",
  ];
  assert.deepEqual(told.filter((step) => order.includes(step)), order, steps.join("\n"));
  for (const step of ["peer A to the broker: join", "peer B to the broker: candidate", "peer B to peer A: “Hello from B”"]) assert.ok(told.includes(step), step);
  await inspect(page, "dev-handshake");
  await page.getByRole("button", { name: "Shake hands again" }).click();
  await page.getByText("Shaking hands…").waitFor();
  await page.getByText(/^Connected in \d+ ms/).waitFor();
  assert.deepEqual(complaints, []);
});

test("the check of ICE says what is missing", async () => {
  const { page } = await open();
  await page.getByRole("button", { name: "Check", exact: true }).click();
  for (const text of ["This browser can connect in its own network only", "No STUN server is configured", "No TURN server is configured"]) await page.getByText(text).waitFor();
  await inspect(page, "dev-ice");
});

test("the check of ICE tells a server that answers from one that refuses, and from one that cannot be reached", { timeout: 120_000 }, async (t) => {
  const { broker: middle, browserA, browserB } = await startApart(t, {
    routers: [{ nat: "masquerade" }, { nat: "masquerade", blocks: "meta l4proto udp" }],
    prepare: async (machine) => {
      const turn = await startTurn(machine, MIDDLE);
      const wrong = turn.turn.replace(/secret = "[^"]*"/, 'username = "me", credential = "wrong"');
      return { end: turn.end, set: { "peer.ice_servers": `[${[turn.stun, turn.turn, turn.turnOverTcp, wrong].join()}]` } };
    },
  });
  const check = async (/** @type {import("playwright-core").Browser} */ browser) => {
    const { page } = await openPage(browser, PHONE);
    await page.goto(`${middle.url}dev/`);
    await page.getByRole("button", { name: "Check", exact: true }).click();
    await page.getByText("This browser can connect from almost everywhere").waitFor({ timeout: 45_000 });
    return { page, findings: await page.locator("#findings strong").allTextContents() };
  };
  const [stun, turn, tcp] = [`stun:${MIDDLE}:3478`, `turn:${MIDDLE}:3478`, `turn:${MIDDLE}:3478?transport=tcp`];
  const home = await check(browserA);
  assert.deepEqual(home.findings.slice(1), [
    `Good: STUN answered: ${stun}`,
    `Good: TURN allocated an address: ${turn}`,
    `Good: TURN allocated an address: ${tcp}`,
    `Problem: TURN refused (error 401): ${turn}`,
  ]);
  await inspect(home.page, "dev-ice-answered");
  const office = await check(browserB);
  assert.deepEqual(office.findings.slice(1, 4), [
    `Problem: STUN did not answer: ${stun}`,
    `Problem: TURN did not answer: ${turn}`,
    `Good: TURN allocated an address: ${tcp}`,
  ]);
});

test("a page without TLS says why it has no peers", async () => {
  const { page } = await openPage(browser);
  await page.addInitScript(() => Object.defineProperty(window, "isSecureContext", { value: false }));
  await page.goto(`${broker.url}dev/`);
  assert.equal(await page.getByText("Open this page by https, or as localhost.").count(), 2);
  await join(page);
});

test("without WebRTC, the page says so, and the console works", async () => {
  const { page } = await openPage(browser);
  await page.addInitScript(() => {
    delete window.RTCPeerConnection;
  });
  await page.goto(`${broker.url}dev/`);
  assert.equal(await page.getByText("WebRTC is switched off in this browser").count(), 2);
  assert.equal(await page.getByRole("button", { name: "Shake hands" }).isEnabled(), false);
  await join(page);
});

test("the page fits every width, dark and light", async () => {
  for (const [width, colorScheme] of /** @type {const} */ ([[320, "light"], [390, "dark"], [1280, "dark"], [2560, "light"]])) {
    const { page } = await open(broker.url, { viewport: { width, height: 900 }, colorScheme });
    await inspect(page, `dev-${width}-${colorScheme}`);
    await page.context().close();
  }
});

test("below a path of a proxy, and beside a page of one's own, everything is found", async () => {
  const proxy = await startNginxBelow(broker.port, "/share/");
  after(() => proxy.close());
  for (const url of [proxy.url, own.url]) {
    const { page, complaints } = await open(url);
    assert.ok((await urlsOf(page)).includes(`${url.replace("http", "ws")}socket`));
    assert.ok(await page.getByText(`import { Presence, Socket } from "${url}lib/index.js"`).isVisible());
    await join(page);
    await page.getByRole("button", { name: "Shake hands" }).click();
    await page.getByText(/^Connected in \d+ ms/).waitFor();
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Examples" }).click();
    await page.getByRole("heading", { level: 1, name: "Examples" }).waitFor();
    assert.deepEqual(complaints, []);
  }
});

test("the landing leads here by a quiet link", async () => {
  const { page } = await openPage(browser);
  await page.goto(broker.url);
  await page.getByRole("contentinfo").getByRole("link", { name: "For developers" }).click();
  await page.getByRole("heading", { level: 1, name: "Build on this broker" }).waitFor();
});
