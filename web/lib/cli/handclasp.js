#!/usr/bin/env node
/** The command `handclasp`: parses the command line, runs get.js or send.js, and sets the exit code. */

import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { get } from "./get.js";
import { CliError, USAGE_ERROR, errorMessage, exitCodeOf } from "./messages.js";
import { send } from "./send.js";
import { endWithOutput, printStatus } from "./terminal.js";

const HELP = `Sends files directly from one computer to another, or to a browser, by a link.

  handclasp get 'LINK' [--out FOLDER] [--password P] [--list]
  handclasp send FILE|FOLDER… [--broker https://HOST] [--password P] [--once]

get     downloads the files of a link; receive is the same command. Put the link in quotes: it contains characters that are special to a shell.
  --out FOLDER    where to store the files (default: the current folder); keeps folders, overwrites nothing
  --list          lists names and sizes, downloads nothing
  Run an interrupted command again to continue: data in the .part files is compared and not downloaded again.

send    prints a link, on a terminal with its QR code, and serves everybody who has it, several receivers at once, until Ctrl+C.
  --broker URL    the page of the broker (default: $HANDCLASP_BROKER, else http://127.0.0.1:4000)
  --once          ends when the first receiver is done; with code 0 if all that it chose has arrived

both
  --password P    the password of the share; $HANDCLASP_PASSWORD keeps it out of the list of processes

handclasp --version prints the version.

Requires the package @roamhq/wrtc, and before Node.js 22 also ws, installed beside it. To run it without installing:
  npx -p handclasp -p @roamhq/wrtc -p ws handclasp get 'LINK'

Standard output contains only results: the link, the paths of the files, the list.
Exit codes: 0 success, 1 failure, 2 usage error, 3 wrong key or password, 4 no broker at the
  address or no valid certificate, 130 stopped by Ctrl+C, 141 nobody reads the output any more.
`;

const OPTIONS = /** @type {const} */ ({
  help: { type: "boolean", short: "h" },
  list: { type: "boolean" },
  out: { type: "string" },
  broker: { type: "string" },
  once: { type: "boolean" },
  password: { type: "string" },
  version: { type: "boolean" },
});

/** @type {Record<string, string[]>} the options of each command */
const COMMANDS = { get: ["list", "out", "password"], receive: ["list", "out", "password"], send: ["broker", "once", "password"] };

/** @returns {Promise<number>} the exit code */
async function main() {
  const { values, positionals } = parse();
  const [command, ...rest] = positionals;
  if (values.help || command === "help") return printHelp();
  if (values.version) return printVersion();
  if (!command || !Object.hasOwn(COMMANDS, command)) throw usageError(command ? `Unknown command ${command}.` : "No command given.");
  const unknown = Object.keys(values).find((name) => !COMMANDS[command].includes(name));
  if (unknown) throw usageError(`${command} has no option --${unknown}.`);
  const { out, list, once, password = process.env.HANDCLASP_PASSWORD, broker = process.env.HANDCLASP_BROKER ?? "http://127.0.0.1:4000" } = values;
  const interrupted = new Promise((/** @type {(_: void) => void} */ resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => resolve());
  });
  if (command === "send") {
    if (rest.length === 0) throw usageError("No files given.");
    return send(rest, { broker, password, once, interrupted });
  }
  if (rest.length !== 1) throw usageError(rest.length === 0 ? "No link given." : "More than one link given: put the link in quotes.");
  return get(rest[0], { out, list, password, interrupted });
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
