/** The official Python client of Socket.IO against the real binary: `python-socketio.py` speaks, for each kind and way. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { createInterface } from "node:readline";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBroker } from "../broker.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
/** Of an environment with what requirements.txt locks. */
const PYTHON = process.env.CLIENTS_PYTHON ?? path("../../target/python/bin/python3");

before(() => access(PYTHON).catch(() => assert.fail(`no Python at ${PYTHON}: \`make python\` installs it with the clients`)));

describe("python-socketio", { concurrency: true }, () => {
  for (const kind of ["blocking", "asyncio"]) {
    for (const way of ["polling", "websocket", "upgrade"]) {
      test(`${kind} by ${way}: joins, messages, bytes, signals, pings, and a restart of the server`, async (t) => {
        const set = { "socketio.ping_interval": "100ms" };
        let broker = await startBroker({ set });
        t.after(() => broker.kill());
        const client = spawn(PYTHON, [path("python-socketio.py"), kind, way, broker.url], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        t.after(() => client.kill("SIGKILL"));
        const ended = once(client, "close");
        for await (const line of createInterface({ input: client.stdout })) {
          assert.equal(line, "restart");
          await broker.kill();
          broker = await startBroker({ port: broker.port, set });
        }
        assert.deepEqual(await ended, [0, null]);
      });
    }
  }
});
