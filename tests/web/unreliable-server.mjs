/**
 * A fake Phoenix server behind an unreliable network: connections are refused, dropped or silent, replies
 * are late or missing, topics overtake each other, channels crash. It records what it has received, so
 * that a test can compare it with the results of the client.
 */

/** The probabilities while the network is unreliable. */
const BAD = { refuse: 0.2, hang: 0.05, unanswered: 0.1, refused: 0.1 };
const GOOD = { refuse: 0, hang: 0, unanswered: 0, refused: 0 };

export class UnreliableServer {
  /** @type {Array<{topic: string, n: number}>} every push that arrived, in order */
  received = [];
  #odds = BAD;
  #random;
  /** @type {Connection | null} */
  #current = null;
  /** @type {Connection[]} abandoned ones may still send */
  #connections = [];
  #said = 0;

  /** @param {() => number} random */
  constructor(random) {
    this.#random = random;
    const server = this;
    this.Transport = class extends Connection {
      constructor() {
        super(server);
        server.#current = this;
        server.#connections = [...server.#connections.slice(-1), this];
        if (server.chance("refuse")) this.later("", () => this.drop());
        else if (!server.chance("hang")) this.later("", () => this.onopen());
      }
    };
  }

  /** @param {keyof typeof BAD} what */
  chance(what) {
    return this.#random() < this.#odds[what];
  }

  /** The network is reliable from now on. The client has to notice what is broken already. */
  heal() {
    this.#odds = GOOD;
  }

  /** Breaks something at the server or in the network. */
  mischief() {
    const [drop, mute, crash] = [0.4, 0.6, 0.9];
    const choice = this.#random();
    if (choice < drop) this.#current?.drop();
    else if (choice < mute) this.#current?.mute();
    else this.#current?.endChannel(choice < crash ? "phx_error" : "phx_close");
  }

  /** Broadcasts a numbered event to all topics. */
  broadcast() {
    this.#said += 1;
    this.#current?.broadcast(this.#said);
  }

  /**
   * Delivers messages: those of one topic in order, those of different topics in any order.
   *
   * @param {number} most
   */
  deliver(most) {
    while (most-- > 0) {
      const queues = this.#connections.flatMap((connection) => connection.waiting());
      if (queues.length === 0) return;
      queues[Math.floor(this.#random() * queues.length)].shift()();
    }
  }
}

class Connection {
  #server;
  /** @type {Map<string, Array<() => void>>} to the client by topic; from it under "up" */
  #queues = new Map();
  /** @type {Map<string, string>} join_ref by topic */
  #joined = new Map();
  #gone = false;

  constructor(server) {
    this.#server = server;
  }

  send(frame) {
    this.later("up", () => this.#receive(JSON.parse(frame)));
  }

  /** Messages to the client still arrive. */
  close() {
    this.#queues.delete("up");
  }

  /** No more messages arrive, without a close event. */
  mute() {
    this.#gone = true;
    this.#queues.clear();
  }

  drop() {
    if (this.#gone) return;
    this.mute();
    this.onclose({ code: 1006, reason: "" });
  }

  endChannel(event) {
    const [topic, joinRef] = [...this.#joined][0] ?? [];
    if (!topic) return;
    this.#joined.delete(topic);
    this.#say([joinRef, joinRef, topic, event, {}]);
  }

  broadcast(n) {
    for (const topic of this.#joined.keys()) this.#say([null, null, topic, "said", { n }]);
  }

  waiting() {
    return [...this.#queues.values()].filter((queue) => queue.length > 0);
  }

  later(queue, step) {
    if (this.#gone) return;
    this.#queues.set(queue, [...(this.#queues.get(queue) ?? []), step]);
  }

  #say(message) {
    this.later(message[2], () => this.onmessage({ data: JSON.stringify(message) }));
  }

  #receive([joinRef, ref, topic, event, payload]) {
    const answer = (status, response) => {
      if (!this.#server.chance("unanswered")) this.#say([joinRef, ref, topic, "phx_reply", { status, response }]);
    };
    if (event === "heartbeat") return this.#say([null, ref, topic, "phx_reply", { status: "ok", response: {} }]);
    if (event === "phx_join") {
      if (this.#server.chance("refused")) return answer("error", { reason: "taken" });
      this.#joined.set(topic, joinRef);
      return answer("ok", {});
    }
    if (this.#joined.get(topic) !== joinRef) return answer("error", { reason: "unmatched topic" });
    if (event === "phx_leave") {
      this.#joined.delete(topic);
      answer("ok", {});
      return this.#say([joinRef, joinRef, topic, "phx_close", {}]);
    }
    this.#server.received.push({ topic, n: payload.n });
    if (this.#server.chance("refused")) answer("error", { reason: "no" });
    else answer("ok", { n: payload.n });
  }
}
