/** ConnectionPool over the real broker and real data channels. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

const { broker, browser } = await start();

/** A page with a pool that records all received messages; for bytes it records their length. */
async function openPool() {
  const { page } = await openPage(browser);
  await page.goto(broker.url);
  const id = await page.evaluate(async () => {
    const { Socket } = await import("/lib/index.js");
    const { ConnectionPool, Peer, createIdentity } = await import("/lib/rtc/index.js");
    const identity = await createIdentity();
    window.heard = [];
    window.pool = new ConnectionPool({ peer: new Peer(new Socket("/socket"), identity) });
    window.listen = (connection) => {
      connection.ondata = (data) => window.heard.push(data instanceof ArrayBuffer ? data.byteLength : data);
      return connection;
    };
    window.pool.onconnection = window.listen;
    await new Promise((resolve) => (window.pool.onopen = resolve));
    return identity.peerId;
  });
  return { page, id };
}

test("messages arrive in both directions over one connection, and closing it loses nothing", async () => {
  const [a, b] = [await openPool(), await openPool()];
  await a.page.evaluate(async (id) => {
    const connection = window.listen(await window.pool.create(id));
    await connection.send({ hello: "world" });
  }, b.id);
  await b.page.waitForFunction(() => window.heard.length === 1);
  const same = await b.page.evaluate(async (id) => {
    const connection = await window.pool.create(id);
    await connection.send("back");
    return connection === (await window.pool.create(id));
  }, a.id);
  assert.equal(same, true);
  await a.page.waitForFunction(() => window.heard.includes("back"));
  await a.page.evaluate(async (id) => {
    const connection = await window.pool.create(id);
    for (let n = 0; n < 8; n++) void connection.send(new Uint8Array(1_000_000 + n));
    await connection.destroy();
  }, b.id);
  const expected = [{ hello: "world" }, ...Array.from({ length: 8 }, (_, n) => 1_000_000 + n)];
  assert.deepEqual(await b.page.evaluate(() => window.heard), expected);
});

test("two peers that create a connection at the same moment share it", async () => {
  const [a, b] = [await openPool(), await openPool()];
  const create = ({ page }, id) =>
    page.evaluate(async (other) => (window.listen(await window.pool.create(other)).send("from the other"), 1), id);
  await Promise.all([create(a, b.id), create(b, a.id)]);
  for (const { page } of [a, b]) await page.waitForFunction(() => window.heard.length === 1);
});
