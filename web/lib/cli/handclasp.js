#!/usr/bin/env node
/** The command `handclasp`: parses the command line, runs get.js or send.js, and sets the exit code. */

import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { readUrl } from "../share/share-link.js";
import { get } from "./get.js";
import { CliError, USAGE_ERROR, errorMessage, exitCodeOf } from "./messages.js";
import { send } from "./send.js";
import { endWithOutput, printStatus } from "./terminal.js";
import { openToken } from "./token.js";

const HELP = `Sends files directly from one computer to another, or to a browser, by a link.

  handclasp send FILE|FOLDER…|- [--text TEXT|-] [--broker https://HOST] [--password P] [--name NAME] [--once]
                 [--idle TIME] [--expires TIME] [--token-file FILE]
  handclasp receive 'LINK' [--out FOLDER|-] [--password P] [--list] [--token-file FILE]

send      prints a link, on a terminal with its QR code, and serves everybody who has it until Ctrl+C.
  -               standard input; it is kept in a temporary file, which nobody else can open
  --name NAME     the name of standard input at the receiver (default: stdin)
  --text TEXT     a text of at most 256 KiB, which the receiver's page shows and copies; - is standard input, which keeps
                  the text out of the list of processes
  --broker URL    the page of the broker (default: $HANDCLASP_BROKER, else http://127.0.0.1:4000)
  --once          serves one receiver at a time, and ends when one is done; with code 0 if all that it chose has arrived
  --idle TIME     with --once: how long a receiver that downloads nothing keeps others out, such as 30s (default: 5m)
  --expires TIME  accepts no receiver after that time, such as 90s, 10m, 1h or 1d, and ends when the downloads that are
                  under way then are over; with --once with code 1, if no receiver was done by then
  What cannot be read, has a name that is not UTF-8, or is a symbolic link in a folder is left out and named.

receive   downloads all files of a link; get is the same. Put the link in quotes: a shell would take it apart.
  A text is stored as a file too, and a short one is printed.
  --out FOLDER    where to store the files (default: the current folder); keeps folders, overwrites nothing
  --out -         writes the file to standard output, if the link has only one
  --list          lists names and sizes, downloads nothing
  Run an interrupted command again to continue: data in the .part files is compared and not downloaded again.

both
  --password P    the password of the share; $HANDCLASP_PASSWORD keeps it out of the list of processes
  --token-file FILE
                  a file with the token, if the broker needs one; it is read again for each connection, and before the
                  token expires. $HANDCLASP_TOKEN has the token itself; receive sends it to no other broker than
                  $HANDCLASP_BROKER

  handclasp send holidays report.pdf --broker https://example.org
  tar c photos | handclasp send - --name photos.tar --once
  handclasp receive 'https://example.org/?peer_id=…#k=…' --out - | tar x
  wl-paste | handclasp send --text - --once

handclasp --version prints the version.

To transfer files, the command needs the package @roamhq/wrtc, and before Node.js 22 also ws, installed beside it:
  npm install @roamhq/wrtc ws

Standard output has only results: the link, the paths of the files, the list, or the file itself.
Exit codes: 0 success, 1 failure, 2 usage error, 3 wrong key or password, 4 no broker at the address or no valid
certificate, 5 the broker refuses the token, 130 stopped by Ctrl+C, 141 nobody reads the output any more.
`;

const OPTIONS = /** @type {const} */ ({
  help: { type: "boolean", short: "h" },
  list: { type: "boolean" },
  out: { type: "string" },
  broker: { type: "string" },
  expires: { type: "string" },
  idle: { type: "string" },
  name: { type: "string" },
  once: { type: "boolean" },
  password: { type: "string" },
  text: { type: "string" },
  "token-file": { type: "string" },
  version: { type: "boolean" },
});

const DEFAULT_BROKER = process.env.HANDCLASP_BROKER ?? "http://127.0.0.1:4000";

/** The units of a time (ms). @type {Record<string, number>} */
const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** The longest time of an option (ms). */
const MAX_TIME = 365 * UNITS.d;

/** @type {Record<string, string[]>} the options of each command */
const COMMANDS = {
  get: ["list", "out", "password", "token-file"],
  receive: ["list", "out", "password", "token-file"],
  send: ["broker", "expires", "idle", "name", "once", "password", "text", "token-file"],
};

/** @returns {Promise<number>} the exit code */
async function main() {
  const { values, positionals } = parse();
  const [command, ...rest] = positionals;
  if (values.help || command === "help") return printHelp();
  if (values.version) return printVersion();
  if (!command || !Object.hasOwn(COMMANDS, command)) throw usageError(command ? `Unknown command ${command}.` : "No command given.");
  const unknown = Object.keys(values).find((name) => !COMMANDS[command].includes(name));
  if (unknown) throw usageError(`${command} has no option --${unknown}.`);
  const { out, list, name, expires, idle, once, text, password = process.env.HANDCLASP_PASSWORD, broker = DEFAULT_BROKER, "token-file": tokenFile } = values;
  const interrupted = new Promise((/** @type {(_: void) => void} */ resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => resolve());
  });
  if (command === "send") {
    if (rest.length === 0 && text === undefined) throw usageError("No files given.");
    const hasInput = rest.includes("-");
    if (rest.indexOf("-") !== rest.lastIndexOf("-") || (hasInput && text === "-")) throw usageError("Standard input is given twice.");
    if (name !== undefined && (!hasInput || name === "" || name.includes("/"))) throw usageError("--name takes the name of a file, for standard input (-).");
    if (idle !== undefined && !once) throw usageError("--idle needs --once.");
    const token = await openToken(tokenFile, process.env.HANDCLASP_TOKEN);
    return send(rest, { broker, name, text, password, token, once, idleTimeout: parseTime("idle", idle), lifetime: parseTime("expires", expires), interrupted });
  }
  if (rest.length !== 1) throw usageError(rest.length === 0 ? "No link given." : "More than one link given: put the link in quotes.");
  const token = await openToken(tokenFile, isOwnBroker(rest[0]) ? process.env.HANDCLASP_TOKEN : "");
  return get(rest[0], { out, list, password, token, interrupted });
}

/**
 * @param {string} link of anybody: its server must not get the token of another broker
 * @returns {boolean}
 */
function isOwnBroker(link) {
  const url = readUrl(link);
  return url !== null && URL.canParse(DEFAULT_BROKER) && url.origin === new URL(DEFAULT_BROKER).origin;
}

/**
 * @param {string} option
 * @param {string} [text]
 * @returns {number | undefined} ms, if it is given
 */
function parseTime(option, text) {
  if (text === undefined) return undefined;
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const time = Number(count) * UNITS[unit];
  if (!(time > 0 && time <= MAX_TIME)) throw usageError(`--${option} takes a time from 1s to 365d, such as 90s, 10m, 1h or 1d.`);
  return time;
}

function parse() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw usageError(/** @type {Error} */ (error).message);
  }
}

function printHelp() {
  process.stdout.write(HELP);
  return 0;
}

function printVersion() {
  const { version } = createRequire(import.meta.url)("../package.json");
  process.stdout.write(`handclasp ${version}\n`);
  return 0;
}

/** @param {string} message */
function usageError(message) {
  return new CliError(`${message} Run handclasp --help for help.`, USAGE_ERROR);
}

endWithOutput();
try {
  process.exitCode = await main();
} catch (error) {
  printStatus(errorMessage(error));
  process.exitCode = exitCodeOf(error);
}
