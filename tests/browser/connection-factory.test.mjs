/**
 * Pages as they are written for webrtc-connectionpool, on a site of their own without TLS: only the import of the
 * library has changed.
 */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { openPage } from "./chromium.mjs";
import { start } from "./setup.mjs";

/** The article's steps: set up, receive, create and send. The page's title tells what has happened. */
const page = (/** @type {number} */ port) => `<!doctype html><meta charset="utf-8"><title></title><script type="module">
  import { ConnectionFactory } from "/handclasp/rtc/index.js";

  var log = (window.log = []);

  var connectionFactory = new ConnectionFactory({
    peer: {
      id: decodeURIComponent(location.hash.slice(1)),
      options: { host: "127.0.0.1", port: ${port} },
    },
    connectionPoolSize: 10,
  });

  connectionFactory.onopen = function (myPeerId) {
    log.push("open " + myPeerId);
  };

  connectionFactory.onconnection = function (connection) {
    log.push("connection from " + connection.getRemotePeerId());

    connection.ondata = function (data) {
      log.push(connection.getRemotePeerId() + " says " + data);
      connection.send("re: " + data);
    };

    connection.onerror = function (error) {
      log.push("connection failed: " + error);
    };
  };

  connectionFactory.onerror = function (error) {
    log.push("error: " + error.message);
  };

  window.sendTo = function (peerIdToConnect, data) {
    connectionFactory.create(peerIdToConnect, function (connection, error) {
      if (error) {
        log.push("cannot create: " + error.message);
        return;
      }

      connection.ondata = function (data) {
        log.push(connection.getRemotePeerId() + " answers " + data);
      };

      connection.send(data);
    });
  };

  window.leave = function () {
    connectionFactory.destroy();
  };
</script>`;

/** The server of the pages. It also has the library, as a bundler would. */
const site = createServer(async (request, response) => {
  const [, file] = /^\/handclasp\/([a-z0-9/-]+\.js)$/.exec(request.url ?? "") ?? [];
  response.setHeader("content-type", file ? "text/javascript" : "text/html");
  response.end(file ? await readFile(new URL(`../../web/lib/${file}`, import.meta.url)) : page(broker.port));
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", () => resolve(undefined)));
after(() => site.close());
const origin = `http://pages.test:${/** @type {any} */ (site.address()).port}`;
const { broker, browser } = await start({
  flags: ["--host-resolver-rules=MAP pages.test 127.0.0.1"],
  set: { "socket.check_origin": `["${origin}"]` },
});

/** @param {string} [id] */
async function open(id = "") {
  const { page, complaints } = await openPage(browser);
  await page.goto(`${origin}/#${encodeURIComponent(id)}`);
  await logs(page, "open ", "error: ");
  const own = await page.evaluate(() => window.log[0].slice("open ".length));
  /** @type {(to: string, data: any) => Promise<void>} */
  const send = (to, data) => page.evaluate(([to, data]) => window.sendTo(to, data), [to, data]);
  return { page, complaints, own, send, log: () => page.evaluate(() => window.log) };
}

/**
 * Waits for a line that starts with one of the texts.
 *
 * @param {import("playwright-core").Page} page
 * @param {string[]} starts
 */
function logs(page, ...starts) {
  return page.waitForFunction((starts) => window.log.some((line) => starts.some((start) => line.startsWith(start))), starts);
}

test("pages find each other by any text, and see each other's ids", async () => {
  const [alice, node, nameless] = [await open("alice"), await open("node-42 ü"), await open()];
  assert.deepEqual(await alice.page.evaluate(() => [isSecureContext, crypto.subtle]), [false, undefined]);
  assert.deepEqual([alice.own, node.own], ["alice", "node-42 ü"]);
  assert.match(nameless.own, /^[0-9a-f-]{36}$/);

  await alice.send("node-42 ü", "hello");
  await logs(alice.page, "node-42 ü answers re: hello");
  assert.deepEqual((await node.log()).slice(1), ["connection from alice", "alice says hello"]);

  await alice.send(nameless.own, "who are you?");
  await logs(alice.page, `${nameless.own} answers`);
  await nameless.send("alice", "one of the pool");
  await logs(alice.page, `${nameless.own} answers`, `${nameless.own} says`);

  // The same connection carries messages of both sides, and is used again.
  await node.send("alice", "back");
  await alice.send("node-42 ü", "again");
  await logs(alice.page, "node-42 ü answers back");
  await logs(node.page, "alice answers again");
  for (const { log } of [alice, node]) assert.equal((await log()).filter((line) => line.startsWith("connection from")).length <= 1, true);
  for (const { complaints } of [alice, node, nameless]) assert.deepEqual(complaints, []);
});

test("an id that is in use, and one that nobody has, are reported", async () => {
  const first = await open("bob");
  const second = await open("bob");
  assert.match((await second.log())[0], /^error: .*taken/);
  await first.send("nobody at all", "hello");
  await logs(first.page, "cannot create: ");
  assert.match((await first.log()).at(-1), /peer_not_found|nobody/);
  await first.send("", "hello");
  await logs(first.page, "cannot create: Invalid peer id.");

  await first.page.evaluate(() => window.leave());
  const third = await open("bob");
  assert.equal(third.own, "bob", "the id is free again");
});
