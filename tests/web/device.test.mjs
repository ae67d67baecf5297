/** What the two sides of a share tell each other about their devices, and what they make of what they hear. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Catalogue } from "../../web/lib/share/catalogue.js";
import { commandDevice, parseDevice, thisDevice } from "../../web/lib/share/device.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { Sender } from "../../web/lib/share/sender.js";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";

const MOBILE = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
const BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0";

for (const [program, system, userAgent, maxTouchPoints = 0] of [
  ["chrome", "linux", `Mozilla/5.0 (X11; Linux x86_64) ${BLINK} Safari/537.36`],
  ["chrome", "android", `Mozilla/5.0 (Linux; Android 10; K) ${BLINK} Mobile Safari/537.36`, 5],
  ["chrome", "linux", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/150.0.0.0 Safari/537.36"],
  ["chrome", "chromeos", `Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${BLINK} Safari/537.36`],
  ["chrome", "ios", `Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) ${MOBILE} CriOS/150.0 Mobile/15E148 Safari/604.1`, 5],
  ["edge", "windows", `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${BLINK} Safari/537.36 Edg/150.0.0.0`],
  ["opera", "windows", `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${BLINK} Safari/537.36 OPR/130.0.0.0`],
  ["samsung", "android", `Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36`, 5],
  ["firefox", "macos", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0"],
  ["firefox", "android", "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", 5],
  ["safari", "macos", `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${MOBILE} Version/18.0 Safari/605.1.15`],
  ["safari", "ipados", `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${MOBILE} Version/18.0 Safari/605.1.15`, 5],
  ["safari", "ios", `Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) ${MOBILE} Version/18.0 Mobile/15E148 Safari/604.1`, 5],
]) {
  test(`${program} on ${system} is recognized by its user agent`, () => {
    assert.deepEqual(thisDevice({ userAgent, maxTouchPoints }), { program, system });
  });
}

test("Node.js is no browser, and its command says its system", () => {
  assert.equal(thisDevice({ userAgent: "Node.js/24" }), null);
  assert.deepEqual(commandDevice("win32"), { program: "command", system: "windows" });
  assert.deepEqual(commandDevice("sunos"), { program: "command", system: null });
});

test("only words of the list are taken from the other side", () => {
  assert.deepEqual(parseDevice({ program: "firefox", system: "linux", name: "x" }), { program: "firefox", system: "linux" });
  assert.deepEqual(parseDevice({ program: "a browser of 2040", system: "android" }), { program: null, system: "android" });
  for (const device of [null, 1, "firefox", {}, { program: "<b>x</b>" }, { program: ["firefox"] }, { system: { toString: () => "linux" } }, { program: "constructor" }]) {
    assert.equal(parseDevice(device), null);
  }
});

const PHONE = { program: "chrome", system: "android" };
const DESK = { program: "firefox", system: "linux" };

/** @param {string} text */
const typeOf = (text) => JSON.parse(text).type;

function connect({ sharer = PHONE, receiver = DESK } = {}) {
  const clock = new FakeClock();
  const ends = fakeChannelPair();
  const [theirs, own] = ends.map((end) => new RtcMessageChannel(end, { clock }));
  const catalogue = new Catalogue();
  catalogue.add([{ file: new File(["x"], "x") }]);
  const sending = new Sender(theirs, catalogue, { device: sharer, clock });
  const receiving = new Receiver(own, { device: receiver, clock });
  const heard = [];
  sending.on("device", (device) => heard.push(device));
  return { ends, theirs, own, catalogue, sending, receiving, heard };
}

async function listed(receiver) {
  while (receiver.entries.length === 0) await settle();
}

test("both sides tell each other their devices, once, however often the list changes", async () => {
  const { ends, catalogue, sending, receiving, heard } = connect();
  sending.run().catch(() => {});
  receiving.run().catch(() => {});
  await listed(receiving);
  catalogue.add([{ file: new File(["y"], "y") }]);
  while (ends[1].received.length < 2) await settle();
  await settle();
  assert.deepEqual([receiving.sender, heard], [PHONE, [DESK]]);
  assert.deepEqual(ends[0].received.map(typeOf), ["device"]);
});

test("a side that does not want to be recognized says nothing", async () => {
  const { ends, sending, receiving } = connect({ sharer: null, receiver: null });
  sending.run().catch(() => {});
  receiving.run().catch(() => {});
  await listed(receiving);
  await settle();
  assert.deepEqual([receiving.sender, ends[0].received], [null, []]);
});

test("a sender of an older version is not sent a message that it does not know", async () => {
  const { ends, theirs, receiving } = connect();
  receiving.run().catch(() => {});
  theirs.send({ type: "list", entries: [{ id: "1", path: ["x"], size: 1, type: "" }], last: true });
  await listed(receiving);
  await settle();
  assert.deepEqual([receiving.sender, ends[0].received], [null, []]);
});

test("a receiver that says its device twice is disconnected", async () => {
  const { own, sending } = connect();
  const ended = sending.run().catch((error) => error);
  for (let n = 0; n < 2; n++) own.send({ type: "device", device: DESK });
  assert.equal((await ended).name, "ProtocolError");
});
