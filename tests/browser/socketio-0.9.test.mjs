/**
 * Pages with the unmodified client of Socket.IO 0.9, by each transport that Chromium has. They talk with each other and
 * with a client of 4.x, and come back after a restart.
 */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { startBroker } from "../broker.mjs";
import { until } from "../clients/await.mjs";
import { launch, openPage } from "./chromium.mjs";

const VERSIONS = ["0.9.16", "0.9.17"];
const TRANSPORTS = ["websocket", "xhr-polling", "jsonp-polling"];
const WAYS = VERSIONS.flatMap((version) => TRANSPORTS.map((transport) => ({ version, transport })));

const browser = await launch();

/** The page of the tutorial, which is not on the broker: as then, a web server of its own has it. */
const site = createServer((request, response) => {
  const script = new URL(request.url ?? "", "http://localhost").searchParams.get("script");
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(`<!doctype html><title>tutorial</title><link rel="icon" href="data:,"><script src="${script}"></script>`);
});
await new Promise((resolve) => site.listen(0, "localhost", () => resolve(undefined)));

after(async () => {
  await browser.close();
  site.close();
});

function start(version, port = 0) {
  const client_dir = fileURLToPath(new URL(`../node_modules/socket.io-client-${version}/dist`, import.meta.url));
  return startBroker({ port, set: { "socketio.client_dir": client_dir } });
}

/** Runs in the page: connects, and records all events. */
function connect({ url, transport }) {
  window.io.transports = [transport];
  window.events = [];
  const socket = (window.socket = window.io.connect(url, { "reconnection delay": 50 }));
  for (const name of ["connect", "disconnect", "reconnect", "message", "user disconnected", "error"]) {
    socket.on(name, (...args) => window.events.push([name, ...args.map((arg) => arg ?? null)]));
  }
}

/** A page that has connected by this transport. */
async function open(broker, transport) {
  const opened = await openPage(browser);
  const { page } = opened;
  page.setDefaultTimeout(15_000);
  const script = new URL("socket.io/socket.io.js", broker.url).href;
  await page.goto(`http://localhost:${site.address().port}/?script=${script}`);
  await page.evaluate(connect, { url: broker.url, transport });
  await page.waitForFunction(() => window.socket.socket.connected);
  assert.equal(await page.evaluate(() => window.socket.socket.transport.name), transport);
  return {
    ...opened,
    emit: (...args) => page.evaluate((args) => window.socket.emit(...args), args),
    ask: (...args) => page.evaluate((args) => new Promise((resolve) => window.socket.emit(...args, resolve)), args),
    /** Waits for an event with these arguments. */
    hears: (...event) =>
      page.waitForFunction((event) => window.events.some((other) => JSON.stringify(other) === event), JSON.stringify(event)),
    /** The first event of that name whose argument is right. */
    async next(name, isRight) {
      const find = async () => (await page.evaluate(() => window.events)).find((event) => event[0] === name && isRight(event[1]));
      await until(async () => Boolean(await find()), name);
      return find();
    },
    /** All events so far. */
    events: () => page.evaluate(() => window.events),
  };
}

/** The newest client, in this process. */
async function newest(t, broker) {
  const socket = io(broker.url, { forceNew: true });
  t.after(() => socket.close());
  const heard = [];
  socket.onAny((...event) => heard.push(event));
  await until(() => socket.connected, "4.x to be connected");
  const hears = (...event) => until(() => heard.some((other) => JSON.stringify(other) === JSON.stringify(event)), `4.x to hear ${event}`);
  return { socket, hears };
}

for (const { version, transport } of WAYS) {
  test(`${version} by ${transport}: pages and a client of 4.x hear each other`, { timeout: 60_000 }, async (t) => {
    const broker = await start(version);
    t.after(() => broker.kill());
    const [a, b] = [await open(broker, transport), await open(broker, transport)];
    const four = await newest(t, broker);

    await a.emit("message", "héllo 😀 </script>\u2028\ufffd", { list: [1, null, true] });
    await b.hears("message", "héllo 😀 </script>\u2028\ufffd", { list: [1, null, true] });
    await four.hears("message", "héllo 😀 </script>\u2028\ufffd", { list: [1, null, true] });
    await a.page.evaluate(() => window.socket.send("a text"));
    await b.hears("message", "a text");
    await a.page.evaluate(() => window.socket.json.send({ type: "offer", sdp: "v=0\r\n" }));
    const [, offer] = await b.next("message", (value) => value?.type === "offer");
    assert.match(offer.from, /^[0-9a-f]{32}$/);
    assert.deepEqual(offer, { type: "offer", sdp: "v=0\r\n", from: offer.from });
    await four.hears("message", offer);
    four.socket.emit("message", "from 4.x", ["é", 1]);
    await a.hears("message", "from 4.x", ["é", 1]);
    await b.hears("message", "from 4.x", ["é", 1]);

    // acknowledgements: at once for a text, with the reply for an event
    await a.page.evaluate(() => new Promise((resolve) => window.socket.send("acknowledged", resolve)));
    for (const page of [a, b]) assert.deepEqual(await page.ask("join", { room: "one" }), {});
    await a.emit("message", "in the room");
    await b.hears("message", "in the room");

    // many at once: the client puts them into one payload
    await a.page.evaluate(() => {
      for (let n = 0; n < 50; n += 1) window.socket.emit("message", n);
    });
    await b.hears("message", 49);
    const numbers = (await b.events()).map(([, value]) => value).filter(Number.isInteger);
    assert.deepEqual(numbers, Array.from({ length: 50 }, (_, n) => n));

    // the client says that it goes
    await b.page.evaluate(() => window.socket.disconnect());
    await a.page.waitForFunction(() => window.events.some(([name]) => name === "user disconnected"));
    await a.page.context().close();
    assert.deepEqual([...a.complaints, ...b.complaints], []);
    await b.page.context().close();
  });

  test(`${version} by ${transport}: a page comes back after a restart of the server`, { timeout: 60_000 }, async (t) => {
    const first = await start(version);
    const page = await open(first, transport);
    const sid = await page.page.evaluate(() => window.socket.socket.sessionid);
    await first.kill();
    await page.page.waitForFunction(() => window.events.some(([name]) => name === "disconnect"));
    // what is said meanwhile is sent once the page is back
    const joined = page.ask("join", { room: "back" });
    const second = await start(version, first.port);
    t.after(() => second.kill());
    assert.deepEqual(await joined, {});
    await page.page.waitForFunction(() => window.events.some(([name]) => name === "reconnect"));
    assert.notEqual(await page.page.evaluate(() => window.socket.socket.sessionid), sid);
    await page.page.context().close();
  });
}
