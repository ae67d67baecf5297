/**
 * Time of a transfer of thousands of small files, between two pages of the app and by the command:
 * `node bench/many-files.mjs --files=3000 --bytes=1500`. `--page=FOLDER` measures the page in another folder.
 */

import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { startBroker } from "../broker.mjs";
import { launchOnDisk } from "../browser/chromium.mjs";
import { option } from "./pages.mjs";

const PACKAGES = dirname(dirname(createRequire(import.meta.url).resolve("ws/package.json")));
const count = option("files", 3_000);
const size = option("bytes", 1_500);
const page = resolve(process.argv.find((arg) => arg.startsWith("--page="))?.slice("--page=".length) ?? "../web");
const folder = await mkdtemp(join(tmpdir(), "handclasp-files-"));
const files = join(folder, "files");
await mkdir(files);
for (let at = 0; at < count; at++) await writeFile(join(files, `${String(at).padStart(4, "0")}.bin`), randomBytes(size));
const broker = await startBroker({ set: { "page.dir": page } });
const seconds = (/** @type {number} */ since) => ((performance.now() - since) / 1_000).toFixed(1);

async function pages() {
  const browsers = await Promise.all(["sender", "receiver"].map((name) => launchOnDisk(join(folder, name))));
  try {
    const [sender, receiver] = browsers.map((browser) => browser.pages()[0]);
    await sender.goto(broker.url);
    await sender.locator("#drop").waitFor();
    await sender.setInputFiles("#folder", files);
    await sender.locator("#share-state:not(:empty)").waitFor();
    await receiver.goto(await sender.inputValue("#link"));
    await receiver.click("#connect");
    await receiver.locator("#offers [role=row]").first().waitFor();
    const begun = performance.now();
    const saved = receiver.waitForEvent("download", { timeout: 180_000 });
    await receiver.click("#download");
    const download = await saved;
    const asked = seconds(begun);
    await download.path();
    console.log(`two pages: ${asked} s to the browser's download, ${seconds(begun)} s to the file on the disk`);
    const removed = await sender.evaluate(async () => {
      const buttons = document.querySelectorAll("#share-files button");
      const button = /** @type {HTMLButtonElement} */ (buttons[Math.floor(buttons.length / 2)]);
      const begun = performance.now();
      button.click();
      const handled = performance.now() - begun;
      void document.body.offsetHeight;
      const laidOut = performance.now() - begun;
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      return [handled, laidOut, performance.now() - begun].map((ms) => ms.toFixed(0));
    });
    console.log(`removing a row: ${removed[0]} ms in the handler, ${removed[1]} ms with the layout, ${removed[2]} ms to the next frame`);
  } finally {
    for (const browser of browsers) await browser.close();
  }
}

async function command() {
  const modules = join(folder, "node_modules");
  await cp(join(page, "lib"), join(modules, "handclasp"), { recursive: true });
  for (const name of ["@roamhq", "ws"]) await symlink(join(PACKAGES, name), join(modules, name));
  const program = join(modules, "handclasp/cli/handclasp.js");
  const sender = spawn(process.execPath, [program, "send", files, "--broker", broker.url], { stdio: ["ignore", "pipe", "inherit"] });
  const [link] = String((await once(sender.stdout, "data"))[0]).split("\n");
  const begun = performance.now();
  const receiver = spawn(process.execPath, [program, "get", link, "--out", join(folder, "out")], { stdio: ["ignore", "ignore", "inherit"] });
  await once(receiver, "exit");
  const { length } = await readdir(join(folder, "out/files"));
  console.log(`command: ${seconds(begun)} s from its start to its end, ${length} files`);
  sender.kill();
  await once(sender, "exit");
}

try {
  await pages();
  await command();
} finally {
  await broker.kill();
  await rm(folder, { recursive: true });
}
