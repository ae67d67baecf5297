/** The library and the command at a node that requires tokens: they get in, learn why they do not, and get new ones. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import WebSocket from "ws";
import { Socket } from "../../web/lib/index.js";
import { startBroker } from "../broker.mjs";
import { installCommand } from "../command.mjs";
import { SECRET, at, sign as signed } from "../tokens/sign.mjs";

const { folder, run } = await installCommand();
/** @type {import("../broker.mjs").Broker} */
let broker;
const sockets = [];
/** What the node logs, at every level, and what must be nowhere in it. */
let log = "";
const tokens = [];

/** @param {Record<string, unknown>} claims */
function sign(claims, secret = SECRET) {
  tokens.push(signed(claims, secret));
  return tokens.at(-1);
}

const GOOD = sign({});
const REFUSED = /** @type {const} */ ([
  ["token expired", sign({ exp: at(-5) })],
  ["token not yet valid", sign({ nbf: at(300) })],
  ["token invalid", sign({}, "another secret of at least 32 bytes, for tests")],
  ["token missing", ""],
]);

before(async () => {
  const set = { "auth.mode": "required", "auth.secrets": SECRET, "auth.leeway": "0s", "log.level": "trace" };
  const withLog = (program, words, options) => {
    const child = spawn(program, words, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (text) => (log += text));
    return child;
  };
  broker = await startBroker({ set, spawn: withLog });
});

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect();
});

after(() => broker?.kill());

/** @param {import("../../web/lib/index.js").SocketOptions} options */
function open(options) {
  const urls = [];
  class Transport extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols);
      urls.push(url);
    }
  }
  const socket = new Socket(broker.socketUrl("socket"), { transport: Transport, random: () => 0, ...options });
  const errors = [];
  socket.on("error", (error) => errors.push(error));
  sockets.push(socket);
  return { socket, errors, urls };
}

// ---- the library

test("the library joins with a token, which stands in no URL", async () => {
  for (const token of [GOOD, async () => GOOD]) {
    const { socket, urls } = open({ token });
    const { expires_in } = await socket.channel("room:a").join();
    assert.ok(expires_in > 590 && expires_in <= 600, `${expires_in}`);
    assert.deepEqual(urls, [`${broker.socketUrl("socket")}/websocket?vsn=2.0.0`]);
  }
});

for (const [reason, token] of REFUSED) {
  test(`the library learns of a ${reason}, asks once more, and gives up`, async () => {
    let asked = 0;
    const { socket, urls, errors } = open({ token: () => (asked++, token) });
    await assert.rejects(socket.channel("room:a").join(), { name: "TokenError", reason });
    assert.equal(socket.state, "closed");
    // Without a token nobody can say that the next one is better.
    assert.ok(asked <= 2 && urls.length <= 2, `${asked} ${urls.length}`);
    assert.deepEqual(errors.map((error) => [error.name, error.reason]), [["TokenError", reason]]);
  });
}

test("the library gives a fixed token that is refused up at once", async () => {
  for (const [reason, token] of REFUSED) {
    const { socket, urls } = open({ token });
    await assert.rejects(socket.channel("room:a").join(), { name: "TokenError", reason });
    assert.equal(urls.length, 1, reason);
  }
});

test("the second token is accepted after the first one has expired", async () => {
  const given = [REFUSED[0][1], GOOD];
  const { socket, errors } = open({ token: () => given.shift() });
  await socket.channel("room:a").join();
  assert.deepEqual([errors, given], [[], []]);
});

test("when the token expires and cannot be replaced, the library connects again with a new one", async () => {
  let asked = 0;
  const token = () => {
    asked += 1;
    return asked === 1 ? sign({ exp: at(2) }) : GOOD;
  };
  const { socket } = open({ token, heartbeatInterval: 1e6 });
  // No topic is joined when the token should be replaced.
  await socket.connect();
  const closed = new Promise((resolve) => socket.on("close", resolve));
  assert.deepEqual(await closed, { code: 1008, reason: "token expired" });
  await socket.channel("room:a").join();
  assert.equal(asked, 2);
});

/** A room that is joined with a token of a few seconds, and what the socket does from then on. */
async function joined(later, first = {}) {
  const given = [];
  const token = () => {
    given.push(sign(given.length === 0 ? { exp: at(3), ...first } : later));
    return given.at(-1);
  };
  const { socket, errors } = open({ token });
  const channel = socket.channel("room:a");
  await channel.join();
  const closed = new Promise((resolve) => socket.on("close", resolve));
  return { socket, channel, errors, given, closed };
}

test("a token is replaced before it expires, and the connection stays open", async () => {
  const { socket, channel, given, closed } = await joined({ exp: at(6) });
  const pushed = new Promise((resolve) => setTimeout(resolve, 4_000)).then(() => channel.push("shout"));
  assert.deepEqual(await Promise.race([pushed, closed]), {});
  assert.ok(given.length >= 2, "the first token has expired");
  assert.equal(socket.state, "open");
});

test("a token with other grants is accepted, and the library connects again with the next one", async () => {
  const { channel, given, closed } = await joined({ handclasp: { join: ["a"], publish: [] } });
  const again = new Promise((resolve) => channel.onState((state) => state === "joined" && resolve(true)));
  assert.equal((await closed).code, 1001);
  await again;
  assert.equal(given.length, 3);
  await assert.rejects(channel.push("shout"), { name: "PermissionError" });
});

test("a token of another subject is an error, and the library connects again when the old one expires", async () => {
  const { channel, errors, closed } = await joined({ sub: "u8" });
  const again = new Promise((resolve) => channel.onState((state) => state === "joined" && resolve(true)));
  assert.deepEqual(await closed, { code: 1008, reason: "token expired" });
  assert.deepEqual(errors.map(({ name, reason }) => [name, reason]), [["PermissionError", "not allowed"]]);
  await again;
});

test("what the token does not grant is a PermissionError", async () => {
  const { socket } = open({ token: sign({ handclasp: { join: ["hall"], publish: [] } }) });
  const refused = { name: "PermissionError", reason: "not allowed" };
  await assert.rejects(socket.channel("room:other").join(), refused);
  const hall = socket.channel("room:hall");
  await hall.join();
  await assert.rejects(hall.push("shout"), refused);
});

test("a page of another origin may ask why it is refused", async () => {
  const url = `${broker.url}socket/websocket?vsn=2.0.0`;
  const asks = { "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-phoenix-authtoken" };
  const preflight = await fetch(url, { method: "OPTIONS", headers: asks });
  assert.equal(preflight.headers.get("access-control-allow-headers"), "x-phoenix-authtoken");
  for (const [reason, token, status] of [["token invalid", REFUSED[2][1], 403], ["token missing", "", 403], ["", GOOD, 400]]) {
    const response = await fetch(url, { headers: token ? { "X-Phoenix-AuthToken": token } : {} });
    assert.deepEqual([response.status, response.headers.get("access-control-allow-origin")], [status, "*"]);
    if (reason) assert.equal(await response.text(), reason);
  }
});

// ---- the command

const file = join(folder, "token");

/** @param {string[]} words @param {Record<string, string>} [env] */
const command = (words, env = {}) => run(words, { env: { HANDCLASP_TOKEN: "", HANDCLASP_BROKER: broker.url, ...env } });

test("the command sends and receives with a token, from a file or from the environment", async () => {
  await writeFile(file, `${GOOD}\n`);
  await writeFile(join(folder, "hello.txt"), "hello");
  const sender = command(["send", "hello.txt", "--once", "--token-file", file]);
  const [link] = (await sender.said("out", /http.*\n/)).split("\n");
  const receiver = command(["receive", link, "--out", "-"], { HANDCLASP_TOKEN: GOOD });
  assert.deepEqual([await receiver.ended, receiver.out()], [0, "hello"], receiver.err());
  assert.equal(await sender.ended, 0, sender.err());
  for (const { out, err } of [sender, receiver]) assert.ok(!`${out()}${err()}`.includes(GOOD.slice(-20)));
});

const MESSAGES = { "token expired": /it has expired/, "token not yet valid": /not valid yet/, "token missing": /needs a token: use --token-file/, "token invalid": /refuses the token: token invalid/ };
for (const [reason, token] of REFUSED) {
  test(`the command says that it has a ${reason}, and ends with code 5`, async () => {
    await writeFile(file, token);
    const link = `${broker.url}?peer_id=00000000-0000-8000-8000-000000000000#k=${"A".repeat(22)}`;
    const commands = [
      command(["send", "--text", "hello"], { HANDCLASP_TOKEN: token }),
      command(["receive", link], { HANDCLASP_TOKEN: token }),
      ...(token ? [command(["send", "--text", "hello", "--token-file", file])] : []),
    ];
    for (const { ended, out, err } of commands) {
      assert.deepEqual([await ended, out()], [5, ""], err());
      assert.match(err(), MESSAGES[reason]);
      assert.match(err(), /^.*\n$/, "one line");
      assert.ok(!token || !err().includes(token.slice(-20)), "the token is not printed");
    }
  });
}

test("the command reads the file again at each connection", async () => {
  await writeFile(file, sign({ exp: at(3) }));
  const sender = command(["send", "--text", "hello", "--token-file", file]);
  await sender.said("out", /http.*\n/);
  await writeFile(file, REFUSED[0][1]);
  assert.equal(await sender.ended, 5, sender.err());
  assert.match(sender.err(), /The broker refuses the token: it has expired/);
});

test("a file without a token ends the command before it connects", async () => {
  const wrong = [["missing", null, /ENOENT/], ["empty", "\n", /is empty/], ["huge", "a".repeat(20_000), /longer than a token/]];
  for (const [name, text, words] of /** @type {Array<[string, string | null, RegExp]>} */ (wrong)) {
    if (text !== null) await writeFile(join(folder, name), text);
    const { ended, err } = command(["send", "--text", "a", "--token-file", name]);
    assert.equal(await ended, 2, err());
    assert.match(err(), words);
  }
});

test("the token of the environment is sent to no other broker", async () => {
  const link = `${broker.url}?peer_id=00000000-0000-8000-8000-000000000000#k=${"A".repeat(22)}`;
  const { said, ended } = command(["receive", link], { HANDCLASP_TOKEN: GOOD, HANDCLASP_BROKER: "https://broker.invalid/" });
  assert.match(await said("err", /\n/), /needs a token/);
  assert.equal(await ended, 5);
});

test("a token that does not grant what the command wants ends it with code 5", async () => {
  const { ended, err } = command(["send", "--text", "a"], { HANDCLASP_TOKEN: sign({ handclasp: { join: ["a"] } }) });
  assert.equal(await ended, 5, err());
  assert.match(err(), /The token does not permit this/);
});

test("no line of the log contains a token", () => {
  assert.ok(log.includes("token_invalid"), "the log has the refusals");
  for (const token of tokens) assert.ok(!log.includes(token.slice(token.lastIndexOf(".") + 1)));
});
