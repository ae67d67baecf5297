/** The app's explanation of a failed connection, for each ICE report. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { iceAdvice } from "../../web/app/ice-advice.js";
import en from "../../web/app/locales/en.js";

const SERVER = ["none", "answered", "refused", "unreachable", "unknown"];
const KINDS = [[], ["host"], ["host", "srflx"], ["srflx"], ["prflx"], ["host", "srflx", "relay"], ["relay"]];

for (const [title, report, told] of /** @type {any[]} */ ([
  [
    "a blocker here hides every address",
    { local: [], remote: ["host"], stun: "unknown", turn: "none" },
    ["cause.blocked_here", "here.none", "there.local", "stun.unreachable", "turn.none"],
  ],
  [
    "a blocker at the sender hides every address",
    { local: ["host", "srflx"], remote: [], stun: "answered", turn: "none" },
    ["cause.blocked_there", "here.public", "there.none", "stun.answered", "turn.none"],
  ],
  [
    "no server is configured",
    { local: ["host"], remote: ["host"], stun: "none", turn: "none" },
    ["cause.one_network", "here.local", "there.local", "stun.none", "turn.none"],
  ],
  [
    "nothing gets out to the STUN server",
    { local: ["host"], remote: ["host", "srflx"], stun: "unreachable", turn: "none" },
    ["cause.stun", "here.local", "there.public", "stun.unreachable", "turn.none"],
  ],
  [
    "two strict routers, and no relay",
    { local: ["host", "srflx"], remote: ["host", "srflx"], stun: "answered", turn: "none" },
    ["cause.no_turn", "here.public", "there.public", "stun.answered", "turn.none"],
  ],
  [
    "the relay refuses its credentials",
    { local: ["host"], remote: ["host", "srflx"], stun: "answered", turn: "refused" },
    ["cause.turn", "here.local", "there.public", "stun.answered", "turn.refused"],
  ],
  [
    "even a relay does not help",
    { local: ["host", "relay"], remote: ["host", "relay"], stun: "none", turn: "answered" },
    ["cause.firewall", "here.relay", "there.relay", "stun.none", "turn.answered"],
  ],
])) {
  test(`the advice when ${title}`, () => {
    assert.deepEqual(iceAdvice(report), ["fail.no_path", ...told.map((word) => `path.${word}`)]);
  });
}

test("every possible report has its sentences, and every sentence is used", () => {
  const used = new Set();
  for (const local of KINDS) {
    for (const remote of KINDS) {
      for (const stun of SERVER) {
        for (const turn of SERVER) iceAdvice(/** @type {any} */ ({ local, remote, stun, turn })).forEach((word) => used.add(word));
      }
    }
  }
  const known = Object.keys(en).filter((word) => word.startsWith("path.") || word === "fail.no_path");
  assert.deepEqual([...used].sort(), known.sort());
});
