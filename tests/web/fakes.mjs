/**
 * Fakes for the library's tests: a clock that is advanced by the test, a server at the other end of a
 * WebSocket, and a data channel without a network.
 */

/** A clock that is advanced only by `advance`. */
export class FakeClock {
  #now = 0;
  #next = 1;
  /** @type {Map<number, {at: number, fn: () => void}>} */
  #timers = new Map();

  /** The longest delay of a timer so far (ms). */
  longest = 0;

  now = () => this.#now;

  setTimeout = (fn, ms) => {
    this.longest = Math.max(this.longest, ms);
    const handle = this.#next++;
    this.#timers.set(handle, { at: this.#now + ms, fn });
    return handle;
  };

  clearTimeout = (handle) => void this.#timers.delete(handle);

  /** How many timers are set. */
  get pending() {
    return this.#timers.size;
  }

  /**
   * Advances the time timer by timer, and lets the promises settle after each.
   *
   * @param {number} ms
   */
  async advance(ms) {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = due[1].at;
      due[1].fn();
      await settle();
    }
    this.#now = end;
  }
}

/** Lets all promises settle that do not wait for I/O or timers. */
export function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A transport class for Socket, and the server's end of each of its connections. */
export class FakeServer {
  /** @type {FakeConnection[]} */
  connections = [];

  constructor() {
    const server = this;
    this.Transport = class {
      constructor(url, protocols) {
        server.connections.push(new FakeConnection(url, this, protocols));
      }
      send(frame) {
        server.connections.find((connection) => connection.client === this).frames.push(frame);
      }
      close() {
        server.connections.find((connection) => connection.client === this).closedByClient = true;
      }
    };
  }

  get last() {
    return this.connections.at(-1);
  }
}

class FakeConnection {
  /** @type {Array<string | ArrayBuffer>} everything that the client sent */
  frames = [];
  closedByClient = false;

  constructor(url, client, protocols) {
    this.url = url;
    /** The subprotocols that the client offers. */
    this.protocols = protocols;
    this.client = client;
  }

  accept() {
    this.client.onopen();
  }

  /** @param {any[] | ArrayBuffer} message */
  say(message) {
    this.client.onmessage({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }

  drop(code = 1006, reason = "") {
    this.client.onclose({ code, reason });
  }

  /** Text messages of the client, as arrays. */
  get heard() {
    return this.frames.filter((frame) => typeof frame === "string").map((frame) => JSON.parse(frame));
  }

  /** @param {string} event */
  lastOf(event) {
    return this.heard.findLast((message) => message[3] === event);
  }

  /** Answers the last message with that event. */
  reply(event, status, response) {
    const [joinRef, ref, topic] = this.lastOf(event);
    this.say([joinRef, ref, topic, "phx_reply", { status, response }]);
  }
}

/**
 * The two ends of an ordered data channel. `pace` returns how many messages arrive in each turn of the
 * event loop, and a queue drains as the other end receives.
 *
 * @param {object} [options]
 * @param {() => number} [options.pace] messages per turn
 */
export function fakeChannelPair({ pace = () => 4 } = {}) {
  const a = new FakeChannel(pace);
  const b = new FakeChannel(pace);
  a.other = b;
  b.other = a;
  return [a, b];
}

class FakeChannel extends EventTarget {
  readyState = "open";
  binaryType = "arraybuffer";
  bufferedAmountLowThreshold = 0;
  bufferedAmount = 0;
  /** The maximum of queued bytes so far. */
  peak = 0;
  /** All messages that arrived at this end. */
  received = [];
  /** @type {(data: string | ArrayBuffer) => string | ArrayBuffer} modifies messages on the way */
  tamper = (data) => data;
  #queue = [];
  #pumping = false;
  #pace;

  constructor(pace) {
    super();
    this.#pace = pace;
  }

  send(data) {
    if (this.readyState !== "open") throw new Error("InvalidStateError");
    const copy = typeof data === "string" ? data : data.slice().buffer;
    this.#queue.push(copy);
    this.bufferedAmount += size(copy);
    this.peak = Math.max(this.peak, this.bufferedAmount);
    this.#pump();
  }

  /** As in WebRTC, queued messages are delivered, then both ends are closed. */
  close() {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    this.#pump();
  }

  /** The network fails: no more messages arrive in either direction. */
  cut() {
    for (const end of [this, this.other]) {
      end.#queue = [];
      end.#closed();
    }
  }

  async #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#queue.length > 0) {
      await settle();
      for (let n = this.#pace(); n > 0 && this.#queue.length > 0; n--) this.#deliver(this.#queue.shift());
    }
    this.#pumping = false;
    if (this.readyState === "closing") for (const end of [this, this.other]) end.#closed();
  }

  #deliver(data) {
    const before = this.bufferedAmount;
    this.bufferedAmount -= size(data);
    this.other.received.push(data);
    this.other.dispatchEvent(new MessageEvent("message", { data: this.tamper(data) }));
    const low = this.bufferedAmountLowThreshold;
    if (before > low && this.bufferedAmount <= low) this.dispatchEvent(new Event("bufferedamountlow"));
  }

  #closed() {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.dispatchEvent(new Event("close"));
  }
}

function size(data) {
  return typeof data === "string" ? data.length : data.byteLength;
}

/**
 * Random numbers from a seed (mulberry32), so that a failure can be reproduced.
 *
 * @param {number} seed
 * @returns {() => number} in [0, 1)
 */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
