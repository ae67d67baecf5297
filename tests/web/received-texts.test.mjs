/** The texts on the receiver's page: each is shown once, and a sender can neither fill the page nor pile up requests. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { loadLanguage } from "../../web/app/i18n.js";
import { ReceivedTexts } from "../../web/app/received-texts.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { Catalogue } from "../../web/lib/share/catalogue.js";
import { textFile } from "../../web/lib/share/file-entry.js";
import { MAX_TEXTS } from "../../web/lib/share/protocol.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { Sender } from "../../web/lib/share/sender.js";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";

/** As much of an element as a card needs. */
class FakeElement {
  children = [];

  append(...children) {
    for (const child of children) child.parent = this;
    this.children.push(...children);
  }

  remove() {
    this.parent.children = this.parent.children.filter((child) => child !== this);
  }

  setAttribute() {}

  addEventListener() {}
}

const place = new FakeElement();
const document = { getElementById: () => place, createElement: () => new FakeElement(), querySelectorAll: () => [], documentElement: {} };
Object.assign(globalThis, { HTMLElement: FakeElement, document });
await loadLanguage(["en"]);
beforeEach(() => void (place.children = []));

const shown = () => place.children.map(({ children: [content] }) => content.textContent);

/** A sender with some texts, and what the page has of it: its list, and a way to fetch. */
async function connect(...texts) {
  const catalogue = new Catalogue();
  const share = (text) => catalogue.add([{ file: textFile(text), path: ["text.txt"] }])[0].id;
  const ids = texts.map(share);
  const clock = new FakeClock();
  const [own, other] = fakeChannelPair().map((end) => new RtcMessageChannel(end, { clock }));
  void new Sender(own, catalogue).run().catch(() => {});
  const receiver = new Receiver(other, { clock });
  void receiver.run().catch(() => {});
  while (receiver.entries.length < texts.length) await settle();
  return { catalogue, clock, ids, share, receiver, fetch: { add: (download) => void download.transferFrom(receiver) } };
}

test("a text with the name and length of a removed one is shown, and one that is shown already is not, though its id is another", async () => {
  const texts = new ReceivedTexts();
  const { catalogue, clock, ids, share, receiver, fetch } = await connect("one");
  assert.equal(await texts.read(fetch, receiver.entries, true), 1);
  assert.equal(await texts.read(fetch, receiver.entries, true), 0);
  catalogue.remove(ids[0]);
  const id = share("two");
  while (receiver.entries[0]?.id !== id) await clock.advance(1_000);
  assert.equal(await texts.read(fetch, receiver.entries, true), 1);
  assert.deepEqual(shown(), ["one", "two"]);
  const later = await connect("zero", "two", "three"); // another connection, also after a final end
  assert.equal(await texts.read(later.fetch, later.receiver.entries, true), 2);
  assert.deepEqual(shown(), ["one", "two", "zero", "three"]);
});

test("a sender that always has new texts cannot fill the page, and what it has now is shown", async () => {
  const texts = new ReceivedTexts();
  for (let at = 0; at < 30; at++) {
    // Each connection gives the same ids, so the sizes tell the lists apart.
    const { fetch, receiver } = await connect(`first ${"+".repeat(at)}`, `second ${"+".repeat(at)}`);
    assert.equal(await texts.read(fetch, receiver.entries, true), 2);
  }
  assert.equal(shown().length, MAX_TEXTS);
  assert.deepEqual(shown().slice(-2), [`first ${"+".repeat(29)}`, `second ${"+".repeat(29)}`]);
});

test("a sender that answers nothing is asked for one list, and then for the newest one only", async () => {
  const texts = new ReceivedTexts();
  const downloads = [];
  const silent = { add: (download) => void downloads.push(download) };
  const first = texts.read(silent, (await connect("a")).receiver.entries, true);
  const { fetch, receiver } = await connect("x", "y");
  for (let at = 0; at < 100; at++) {
    const entries = receiver.entries.map((entry) => ({ ...entry, path: [`${at}.txt`] }));
    assert.equal(await texts.read(silent, entries, true), 0);
  }
  assert.equal(await texts.read(fetch, receiver.entries, true), 0);
  assert.equal(downloads.length, 1);
  downloads[0].cancel();
  assert.equal(await first, 2);
  assert.deepEqual([downloads.length, shown()], [1, ["x", "y"]]);
});
