/** The command `handclasp`, between two Node.js processes over the real broker. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, readFile, readdir, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import WebSocket from "ws";
import { Socket } from "../../web/lib/index.js";
import { Connection, Peer, createIdentity } from "../../web/lib/rtc/index.js";
import { FileShare } from "../../web/lib/share/index.js";
import { makeLink } from "../../web/lib/share/share-link.js";
import { systemClock } from "../../web/lib/util/clock.js";
import { startBroker } from "../broker.mjs";
import { installCommand } from "../command.mjs";
import { startNginxBelow } from "../proxies.mjs";

const MB = 1024 * 1024;
const LIMIT = 60_000;
/** As the command says it of itself. */
const SYSTEM = { darwin: "Mac", linux: "Linux", win32: "Windows" }[process.platform];
const broker = await startBroker();
after(() => broker.kill());
const { folder, modules, run } = await installCommand();
/** @type {typeof import("../../web/lib/cli/packages.js")} beside the installed packages */
const { loadPackages } = await import(join(modules, "cli/packages.js"));

/**
 * @param {string[]} paths
 * @param {string[]} [options]
 */
async function send(paths, options = []) {
  const command = run(["send", ...paths, "--broker", broker.url, ...options]);
  const [link] = (await command.said("out", /\n/)).split("\n");
  return { ...command, link };
}

/** @param {string} name @param {Record<string, Buffer | string>} files */
async function makeFolder(name, files) {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, name, path, ".."), { recursive: true });
    await writeFile(join(folder, name, path), content);
  }
}

/** @param {string} name @returns {Promise<string[]>} files below it */
async function filesOf(name) {
  const found = await readdir(join(folder, name), { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(join(folder, name).length + 1)).sort();
}

/** @param {string} name @returns {Promise<number>} 0 if a command has renamed it meanwhile */
async function sizeOf(name) {
  return (await stat(join(folder, name)).catch(() => ({ size: 0 }))).size;
}

/** @param {() => Promise<boolean>} condition */
async function until(condition) {
  const end = performance.now() + LIMIT;
  while (!(await condition())) {
    assert.ok(performance.now() < end, "waited too long");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test("files and a folder arrive with names, bytes and structure; both sides report that they are done", async () => {
  await makeFolder("mine", { "photos/a.jpg": randomBytes(3 * MB + 5), "photos/deep/er/b.txt": "b", "photos/empty": "", "notes ü.txt": "notes" });
  const sender = await send(["mine/photos", "mine/notes ü.txt"]);
  const list = run(["get", sender.link, "--list"]);
  assert.equal(await list.ended, 0, list.err());
  assert.deepEqual(list.out().match(/\S+$/gm), ["photos/a.jpg", "photos/deep/er/b.txt", "photos/empty", "ü.txt"]);

  const getters = ["one", "two"].map((out) => run(["get", sender.link, "--out", out]));
  for (const getter of getters) assert.equal(await getter.ended, 0, getter.err());
  for (const out of ["one", "two"]) {
    assert.deepEqual(await filesOf(out), await filesOf("mine"));
    for (const path of await filesOf("mine")) assert.deepEqual(await readFile(join(folder, out, path)), await readFile(join(folder, "mine", path)));
  }
  assert.deepEqual(getters[0].out().split("\n").length, 5, "a line for each file");
  assert.match(getters[0].err(), /Done: 4 files/);
  await sender.said("err", /(is done: 3\.1 MB, written and verified there, in \d+:\d\d\.[^]*){2}/);
  sender.kill("SIGINT");
  assert.equal(await sender.ended, 0);
  assert.match(sender.err(), /2 receivers have all that they chose\.\n$/);
});

test("a receiver that was stopped or killed continues when it is run again, and the sender goes on serving", async () => {
  await makeFolder("big", { "big.bin": randomBytes(50 * MB) });
  const sender = await send(["big/big.bin"]);
  const part = async () => {
    const names = await readdir(join(folder, "again")).catch(() => []);
    return names.find((name) => name.endsWith(".part"));
  };
  const size = async () => {
    const name = await part();
    return name ? sizeOf(join("again", name)) : 0;
  };
  for (const [signal, code, enough] of /** @type {const} */ ([["SIGINT", 130, 5 * MB], ["SIGINT", 130, 10 * MB], ["SIGKILL", "SIGKILL", 15 * MB]])) {
    const getter = run(["get", sender.link, "--out", "again"]);
    await until(async () => (await size()) >= enough);
    getter.kill(signal);
    assert.equal(await getter.ended, code, getter.err());
  }
  const left = Math.floor((await size()) / MB) * MB;
  assert.deepEqual(await filesOf("again"), [await part()], "nothing has its name before it is whole");

  const second = run(["get", sender.link, "--out", "again"]);
  assert.equal(await second.ended, 0, second.err());
  const kept = /; ([\d.]+) MB of it was already here/.exec(second.err());
  assert.equal(kept?.[1], (left / 1e6).toFixed(left < 100e6 ? 1 : 0));
  assert.deepEqual(await filesOf("again"), ["big.bin"]);
  assert.deepEqual(await readFile(join(folder, "again/big.bin")), await readFile(join(folder, "big/big.bin")));
});

test("two downloads into one folder get a copy each", async () => {
  await makeFolder("twice", { "big.bin": randomBytes(30 * MB) });
  const sender = await send(["twice/big.bin"]);
  const first = run(["get", sender.link, "--out", "both"]);
  const sizes = async () => Promise.all((await filesOf("both").catch(() => [])).map((name) => sizeOf(join("both", name))));
  await until(async () => (await sizes())[0] >= MB);
  first.kill("SIGSTOP"); // until the other one writes too
  const second = run(["get", sender.link, "--out", "both"]);
  await until(async () => (await sizes()).filter((size) => size >= MB).length === 2);
  first.kill("SIGCONT");
  for (const getter of [first, second]) assert.equal(await getter.ended, 0, getter.err());
  assert.deepEqual(await filesOf("both"), ["big (2).bin", "big.bin"]);
  for (const name of await filesOf("both")) assert.ok((await readFile(join(folder, "both", name))).equals(await readFile(join(folder, "twice/big.bin"))));
});

for (const [title, args, input, text] of /** @type {const} */ ([
  ["an argument", ["--text", "meet at 5\n\u001b[31mGrüße"], undefined, "meet at 5\n\u001b[31mGrüße"],
  ["standard input", ["--text", "-"], "from a pipe\n", "from a pipe\n"],
])) {
  test(`a text from ${title} arrives as a file, and is printed without its control characters`, async () => {
    const sender = run(["send", ...args, "--broker", broker.url, "--once"], { input });
    const [link] = (await sender.said("out", /\n/)).split("\n");
    const out = `text-${title}`;
    const getter = run(["get", link, "--out", out]);
    assert.equal(await getter.ended, 0, getter.err());
    assert.equal(getter.out(), `${join(out, "text.txt")}\n`);
    assert.equal(await readFile(join(folder, out, "text.txt"), "utf8"), text);
    const marked = text.trimEnd().replace("\u001b", "").split("\n").map((line) => `  | ${line}\n`);
    assert.ok(getter.err().includes(`text.txt says:\n${marked.join("")}`), getter.err());
    assert.equal(await sender.ended, 0, sender.err());
  });
}

test("on a terminal, the sender shows a QR code and each receiver's speed", async () => {
  await makeFolder("shown", { "a.bin": randomBytes(50 * MB) });
  const sender = run(["send", "shown", "--broker", broker.url, "--once"], { hasTerminal: true });
  const [link] = /http\S+#k=\S+/.exec(await sender.said("out", /Sharing/)) ?? [""];
  assert.match(sender.out(), new RegExp(`\\x1b\\[[\\d;]+m {45}\\x1b\\[0m`), "the light border of a code");
  const getter = run(["get", link, "--out", "shown-got"]);
  assert.equal(await getter.ended, 0, getter.err());
  assert.equal(await sender.ended, 0, sender.out());
  assert.match(sender.out(), /\r\d+ % of 52\.4 MB, [\d.]+ [kM]?B\/s, \d:\d\d left/);
  assert.doesNotMatch(sender.out(), /of 0 bytes/, "the progress of a receiver that has chosen nothing yet");
});

test("standard input is sent, and standard output received", async () => {
  const text = randomBytes(5 * MB).toString("base64");
  const sender = run(["send", "-", "--name", "notes.txt", "--broker", broker.url], { input: text });
  const [link] = (await sender.said("out", /\n/)).split("\n");
  const getter = run(["receive", link, "--out", "-"]);
  assert.equal(await getter.ended, 0, getter.err());
  assert.ok(getter.out() === text, `${getter.out().length} characters arrived`);
  assert.match(getter.err(), /Done: 1 file, 7\.0 MB/);
  const list = run(["get", link, "--list"]);
  assert.equal(await list.ended, 0, list.err());
  assert.match(list.out(), /7\.0 MB {2}notes\.txt\n$/);
  assert.deepEqual((await readdir(folder)).filter((name) => name === "-"), []);

  await makeFolder("several", { "a.txt": "a", "b.txt": "b" });
  const several = await send(["several", "-"], ["--once"]);
  const refused = run(["get", several.link, "--out", "-"]);
  assert.deepEqual([await refused.ended, refused.out()], [2, ""]);
  assert.match(refused.err(), /has 3 files, and --out - takes one/);
  const all = run(["get", several.link, "--out", "got-several"]);
  assert.equal(await all.ended, 0, all.err());
  assert.deepEqual(await filesOf("got-several"), ["several/a.txt", "several/b.txt", "stdin"]);
});

test("receive is get, and takes a link as it was pasted out of a text", async () => {
  await makeFolder("pasted", { "a.txt": "a" });
  const sender = await send(["pasted/a.txt"]);
  const list = run(["receive", ` <${sender.link.replace("http", "HTTP")}>. `, "--list"]);
  assert.equal(await list.ended, 0, list.err());
  assert.match(list.out(), /a\.txt/);
  sender.kill("SIGINT");
  assert.equal(await sender.ended, 0, sender.err());
});

test("a broker may be below a path of its host", async () => {
  const proxy = await startNginxBelow(broker.port, "/share/");
  after(() => proxy.close());
  await makeFolder("below", { "a.txt": "a" });
  const sender = run(["send", "below/a.txt", "--broker", proxy.url.slice(0, -1)]);
  const [link] = (await sender.said("out", /\n/)).split("\n");
  assert.ok(link.startsWith(`${proxy.url}?peer_id=`), link);
  const getter = run(["get", link, "--out", "got-below"]);
  assert.equal(await getter.ended, 0, getter.err());
  assert.deepEqual(await filesOf("got-below"), ["a.txt"]);
  sender.kill("SIGINT");
  assert.equal(await sender.ended, 0, sender.err());
});

test("the version is that of the package", async () => {
  const version = run(["--version"]);
  assert.equal(await version.ended, 0, version.err());
  const { version: expected } = JSON.parse(await readFile(new URL("../../web/lib/package.json", import.meta.url), "utf8"));
  assert.equal(version.out(), `handclasp ${expected}\n`);
});

test("existing files are not overwritten", async () => {
  await makeFolder("new", { "report.txt": "new" });
  await makeFolder("kept", { "report.txt": "old", "report (2).txt": "older" });
  const sender = await send(["new/report.txt"]);
  const getter = run(["get", sender.link, "--out", "kept"]);
  assert.equal(await getter.ended, 0, getter.err());
  const content = async (/** @type {string} */ name) => readFile(join(folder, "kept", name), "utf8");
  assert.deepEqual(await filesOf("kept"), ["report (2).txt", "report (3).txt", "report.txt"]);
  assert.deepEqual([await content("report.txt"), await content("report (2).txt"), await content("report (3).txt")], ["old", "older", "new"]);
  assert.match(getter.out(), /report \(3\)\.txt\n$/);
});

test("a wrong password gets nothing, the right one gets all files", async () => {
  await makeFolder("secret", { "secret.txt": "s" });
  const sender = await send(["secret/secret.txt"], ["--password", "right"]);
  const without = run(["get", sender.link, "--out", "none"]);
  assert.equal(await without.ended, 2);
  assert.match(without.err(), /--password/);
  const wrong = run(["get", sender.link, "--out", "none", "--password", "wrong"]);
  assert.equal(await wrong.ended, 3, wrong.err());
  assert.match(wrong.err(), /password is wrong/);
  await sender.said("err", /0 with a wrong key, 1 with a wrong password/);
  await assert.rejects(stat(join(folder, "none")), { code: "ENOENT" });
  const right = run(["get", sender.link, "--out", "secrets"], { env: { HANDCLASP_PASSWORD: "right" } });
  assert.equal(await right.ended, 0, right.err());
});

test("a file that changes while it is shared is reported on both sides, and the others arrive", async () => {
  await makeFolder("fickle", { "a.txt": "a", "b.txt": "b" });
  const sender = await send(["fickle"]);
  await utimes(join(folder, "fickle/a.txt"), 1, 1);
  const getter = run(["get", sender.link, "--out", "fickle-got"]);
  assert.equal(await getter.ended, 1);
  assert.match(getter.err(), /fickle\/a\.txt did not arrive[^]*Incomplete: 1 file/);
  assert.deepEqual(await filesOf("fickle-got"), ["fickle/b.txt"]);
  await sender.said("err", /fickle\/a\.txt cannot be sent/);
});

test("entries that cannot be shared are left out and named, and both last words count what arrived", async () => {
  await makeFolder("mixed", { "a.txt": "a", "b.txt": "bb" });
  await writeFile(Buffer.concat([Buffer.from(`${join(folder, "mixed")}/caf`), Buffer.from([0xe9])]), "latin1");
  await symlink("a.txt", join(folder, "mixed/link"));
  const sender = await send(["mixed"]);
  assert.match(sender.err(), /Left out: \S+caf\ufffd \(its name is not UTF-8\)\.\nLeft out: \S+link \(a symbolic link\)\./);
  assert.match(await sender.said("err", /Sharing .*\n/), /2 files, 3 bytes, without 2 entries/);
  await utimes(join(folder, "mixed/b.txt"), 1, 1);
  const getter = run(["get", sender.link, "--out", "mixed-got"]);
  assert.equal(await getter.ended, 1);
  assert.match(getter.err(), /Incomplete: 1 file, 1 byte/);
  await sender.said("err", /ended with a part: 1 byte of 3 bytes/);
  sender.kill("SIGINT");
  assert.equal(await sender.ended, 0);
  assert.match(sender.err(), /0 receivers have all that they chose, 1 has only a part\. 2 entries were left out, as named above\.\n$/);
});

test("the command ends quietly when nobody reads its output any more", async () => {
  await makeFolder("piped", { "a.txt": "a" });
  const sender = await send(["piped"]);
  const list = run(["get", sender.link, "--list"]);
  list.close("out");
  assert.deepEqual([await list.ended, list.err()], [141, `Connected and verified: the command on ${SYSTEM}.\n1 file, 1 byte.\n`]);
  sender.close("err");
  await run(["get", sender.link, "--list"]).ended;
  assert.equal(await sender.ended, 141);
});

test("a receiver waits for an absent sender; names cannot leave the folder or send control characters to the terminal", async () => {
  const socket = new Socket(broker.socketUrl("socket"), { transport: WebSocket });
  const peer = new Peer(socket, await createIdentity(), { createConnection: (await loadPackages()).createConnection });
  after(() => (peer.close(), socket.disconnect()));
  const key = crypto.getRandomValues(new Uint8Array(16));
  const link = makeLink({ peerId: peer.id, key, hasPassword: false }, new URL(broker.url));
  const share = new FileShare(peer, key);
  share.catalogue.add([{ file: new File(["evil"], "x"), path: ["..", "..", "\x1b[2Jevil"] }]);
  const getter = run(["get", link, "--out", "safe/inner"]);
  await getter.said("err", /not online/);
  await peer.join();
  assert.equal(await getter.ended, 0, getter.err());
  assert.deepEqual(await filesOf("safe"), ["inner/file/file/[2Jevil"]);

  share.catalogue.add([{ file: { name: "x", size: "\x1b[2J", slice: () => new Blob() } }]);
  const second = run(["get", link, "--out", "safe/inner"]);
  assert.equal(await second.ended, 1);
  assert.match(second.err(), /size \[2J is not a count/);
  assert.doesNotMatch(getter.out() + getter.err() + second.err(), /\x1b/);
});

test("glare does not affect a connection of Node.js", async () => {
  const { createConnection } = await loadPackages();
  /** @type {Connection[]} */
  const sides = [];
  const held = [];
  let isHolding = false;
  const deliver = (to, event, body) => sides[to].handleSignal(event, JSON.parse(JSON.stringify(body)));
  const make = (at, isOfferer) => new Connection({
    peerId: "x", attempt: "1", isOfferer, pc: createConnection({}), clock: systemClock, timeout: LIMIT, recoveryTimeout: LIMIT,
    async sendSignal(event, body) {
      if (isHolding) held.push([1 - at, event, body]);
      else deliver(1 - at, event, body);
    },
  });
  sides.push(make(0, true), make(1, false));
  after(() => sides.forEach((side) => side.close()));
  sides[0].sendOffer();
  const links = await Promise.all(sides.map(({ opened }) => opened));
  const before = sides.map(({ pc }) => pc.localDescription.sdp);
  isHolding = true;
  for (const side of sides) side.networkChanged();
  await until(async () => held.filter(([, event]) => event === "offer").length === 2);
  isHolding = false;
  for (const signal of held) deliver(...signal);
  const isNew = ({ pc }, at) => pc.signalingState === "stable" && pc.localDescription.sdp !== before[at];
  await until(async () => sides.every(isNew));
  links[0].send({ type: "still here" });
  assert.deepEqual(await links[1].receive(), { type: "still here" });
});

test("Ctrl+C ends waiting for a sender", async () => {
  const { peerId } = await createIdentity();
  const getter = run(["get", `${broker.url}?peer_id=${peerId}#k=${"A".repeat(22)}`]);
  await getter.said("err", /not online/);
  getter.kill("SIGINT");
  assert.equal(await getter.ended, 130, getter.err());
});

test("the link is printed only after the broker has accepted the peer", async () => {
  await makeFolder("early", { "early.txt": "e" });
  const sender = run(["send", "early", "--broker", "http://127.0.0.1:1"]);
  await sender.said("err", /127\.0\.0\.1 refuses connections to port 1: .* Retrying/);
  sender.kill("SIGINT");
  assert.deepEqual([await sender.ended, sender.out()], [130, ""]);
});

test("usage errors are reported with a remedy", async () => {
  const { peerId } = await createIdentity();
  const wrong = [
    [["get", `${broker.url}?peer_id=${peerId}`], /in quotes/],
    [["get", `${broker.url}?peer_id=nobody#k=${"A".repeat(22)}`], /damaged/],
    [["get"], /No link given/],
    [["send", "no such file", "--broker", broker.url], /no such file or folder/],
    [["send", folder, "--list"], /no option --list/],
    [["fetch"], /Unknown command fetch/],
    [["send", "-", "-"], /given twice/],
    [["send", folder, "--name", "x"], /--name takes the name of a file, for standard input/],
    [["send", "-", "--text", "-"], /given twice/],
    [["send", "--text", ""], /The text is empty/],
    [["send", "-", "--name", "../x"], /--name takes the name of a file/],
  ];
  for (const [args, words] of wrong) {
    const command = run(/** @type {string[]} */ (args));
    assert.equal(await command.ended, 2);
    assert.match(command.err(), /** @type {RegExp} */ (words));
  }
});

test("standard input that is no text, or too long for one, is refused", async () => {
  for (const [input, words] of /** @type {const} */ ([["x".repeat(256 * 1024 + 1), /longer than 256 KiB/], [Buffer.of(0xff, 0x41), /not a text in UTF-8/]])) {
    const command = run(["send", "--text", "-"], { input });
    assert.equal(await command.ended, 2, command.err());
    assert.match(command.err(), words);
  }
});

test("a name that is not safe on every system is changed, and the receiver is told which", async () => {
  await makeFolder("dotted", { ".env": "secret", "con": "console", "می\u200cخواهم 👨\u200d👩.txt": "joined" });
  const sender = await send(["dotted"]);
  const getter = run(["get", sender.link, "--out", "undotted"]);
  assert.equal(await getter.ended, 0, getter.err());
  assert.deepEqual(await filesOf("undotted"), ["dotted/_con", "dotted/env", "dotted/می\u200cخواهم 👨\u200d👩.txt"]);
  assert.deepEqual(getter.err().match(/\S+ -> \S+/g), ["dotted/.env -> dotted/env", "dotted/con -> dotted/_con"]);
});

test("empty folders arrive", async () => {
  await makeFolder("tree", { "a/file.txt": "x" });
  await mkdir(join(folder, "tree/a/empty/deep"), { recursive: true });
  const sender = await send(["tree"]);
  const list = run(["get", sender.link, "--list"]);
  assert.equal(await list.ended, 0, list.err());
  assert.match(list.out(), /tree\/a\/empty\/deep\/\n/);
  const getter = run(["get", sender.link, "--out", "grown"]);
  assert.equal(await getter.ended, 0, getter.err());
  assert.match(getter.err(), /Done: 1 file,/);
  assert.deepEqual((await readdir(join(folder, "grown"), { recursive: true })).sort(), ["tree", "tree/a", "tree/a/empty", "tree/a/empty/deep", "tree/a/file.txt"]);
  const output = run(["get", sender.link, "--out", "-"]);
  assert.deepEqual([await output.ended, output.out()], [0, "x"], output.err());
});
