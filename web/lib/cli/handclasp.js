#!/usr/bin/env node
/** The command `handclasp`: what was typed, and how it ends. The work is get.js's and send.js's. */

import { parseArgs } from "node:util";
import { get } from "./get.js";
import { send } from "./send.js";
import { say } from "./terminal.js";
import { Complaint, MISUSED, exitCodeOf, sentence } from "./messages.js";

const HELP = `Sends files straight from one computer to another, or to a browser, by a link.

  handclasp get 'LINK' [--out FOLDER] [--password P] [--list]
  handclasp send FILE|FOLDER… [--broker https://HOST] [--password P]

get     takes what a link offers. Put the link in quotes: it has signs that a shell takes for its own.
  --out FOLDER    where the files go (default: here); folders are kept, nothing is overwritten
  --list          tells names and sizes, takes nothing
  Broken off, it goes on when it is run again: what is in the .part files is compared, not fetched again.

send    prints a link and serves whoever has it, several at once, until ^C.
  --broker URL    the page of the broker (default: $HANDCLASP_BROKER, else http://127.0.0.1:4000)

both
  --password P    of the share, which the other side has to know; $HANDCLASP_PASSWORD hides it from a list of processes

Needs the package @roamhq/wrtc, and before node 22 also ws, installed beside it. To run it without installing:
  npx -p handclasp -p @roamhq/wrtc -p ws handclasp get 'LINK'

Standard output has the results alone: the link, the paths of the files, the list.
Exit codes: 0 done, 1 failed, 2 wrong use, 3 wrong key or password, 130 stopped by ^C.
`;

const OPTIONS = /** @type {const} */ ({
  help: { type: "boolean", short: "h" },
  list: { type: "boolean" },
  out: { type: "string" },
  broker: { type: "string" },
  password: { type: "string" },
});

/** @type {Record<string, string[]>} the options that a command knows */
const COMMANDS = { get: ["list", "out", "password"], send: ["broker", "password"] };

/** @returns {Promise<number>} the exit code */
async function main() {
  const { values, positionals } = read();
  const [command, ...rest] = positionals;
  if (values.help || command === "help") return help();
  if (!command || !Object.hasOwn(COMMANDS, command)) throw misuse(command ? `There is no command ${command}.` : "Which command?");
  const stray = Object.keys(values).find((name) => !COMMANDS[command].includes(name));
  if (stray) throw misuse(`${command} has no option --${stray}.`);
  const { out, list, password = process.env.HANDCLASP_PASSWORD, broker = process.env.HANDCLASP_BROKER ?? "http://127.0.0.1:4000" } = values;
  const interrupted = new Promise((/** @type {(_: void) => void} */ resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => resolve());
  });
  if (command === "send") {
    if (rest.length === 0) throw misuse("Which files?");
    return send(rest, { broker, password, interrupted });
  }
  if (rest.length !== 1) throw misuse(rest.length === 0 ? "Which link?" : "One link at a time, in quotes.");
  return get(rest[0], { out, list, password, interrupted });
}

function read() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw misuse(/** @type {Error} */ (error).message);
  }
}

function help() {
  process.stdout.write(HELP);
  return 0;
}

/** @param {string} words */
function misuse(words) {
  return new Complaint(`${words} handclasp --help tells how.`, MISUSED);
}

try {
  process.exitCode = await main();
} catch (error) {
  say(sentence(error));
  process.exitCode = exitCodeOf(error);
}
