/** A transfer between a sender and a receiver over a fake message channel. */

import { Catalogue } from "../../web/lib/share/catalogue.js";
import { Download } from "../../web/lib/share/index.js";
import { Receiver } from "../../web/lib/share/receiver.js";
import { Sender } from "../../web/lib/share/sender.js";
import { RtcMessageChannel } from "../../web/lib/rtc/message-channel.js";
import { FakeClock, fakeChannelPair, settle } from "./fakes.mjs";
import { FakeDisk } from "./fake-disk.mjs";

export const MIB = 1024 * 1024;

/** A sender and a receiver on a fresh pair of channels, both running. */
export function connect(catalogue, { clock = new FakeClock(), pace } = {}) {
  const ends = fakeChannelPair({ pace });
  const channels = ends.map((end) => new RtcMessageChannel(end, { clock }));
  const sender = new Sender(channels[0], catalogue);
  const receiver = new Receiver(channels[1], { clock });
  const sent = sender.run().catch((error) => (channels[0].close(), error));
  const received = receiver.run().catch((error) => error);
  return { clock, ends, channels, sender, receiver, sent, received };
}

export async function listed(receiver) {
  while (receiver.entries.length === 0) await settle();
  return receiver.entries;
}

export function catalogueOf(...files) {
  const catalogue = new Catalogue();
  catalogue.add(files.map((file, at) => (Array.isArray(file) ? { file: file[1], path: file[0] } : { file: new File([file], `${at}.bin`) })));
  return catalogue;
}

/** Takes everything over one channel. */
export async function takeAll(catalogue, options = {}) {
  const all = connect(catalogue, options);
  const disk = options.disk ?? new FakeDisk();
  const download = new Download(await listed(all.receiver), disk, { clock: all.clock });
  const over = download.transferFrom(all.receiver);
  return { ...all, disk, download, over };
}

/** Bytes of files that have arrived at this end. */
export const sentBytes = (end) => end.received.reduce((sum, data) => sum + (typeof data === "string" ? 0 : data.byteLength), 0);

/** The requests for files that have arrived at this end. */
export const requestsIn = (end) => end.received.map((text) => JSON.parse(text)).filter(({ type }) => ["batch", "pull", "stored"].includes(type));
