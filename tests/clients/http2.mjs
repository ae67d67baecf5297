/** `fetch` and `WebSocket` over one HTTP/2 connection, as browsers use it: node's own `fetch` does not offer HTTP/2. */

import { once } from "node:events";
import { connect } from "node:http2";
import { Receiver, Sender } from "ws";

/**
 * @typedef {object} Http2
 * @property {import("node:http2").ClientHttp2Session} session
 * @property {typeof fetch} fetch
 * @property {new (url: string) => object} WebSocket
 */

/**
 * @param {import("../proxies.mjs").Proxy} proxy
 * @param {import("node:tls").ConnectionOptions} [options]
 * @returns {Promise<Http2>} when the proxy has told its settings
 */
export async function connectHttp2({ url, ca }, options = {}) {
  const session = connect(url, { ca, ...options });
  await once(session, "remoteSettings");
  return { session, fetch: fetchOver(session), WebSocket: webSocketOver(session) };
}

/**
 * @param {import("node:http2").ClientHttp2Session} session
 * @returns {typeof fetch}
 */
const fetchOver = (session) =>
  async function fetchHttp2(url, { method = "GET", headers = {}, body, signal } = {}) {
    const { pathname, search } = new URL(url);
    const words = Object.fromEntries(new Headers(headers));
    const stream = session.request({ ":method": method, ":path": pathname + search, ...words }, { signal });
    stream.end(body);
    const answer = await new Promise((resolve, reject) => {
      stream.once("response", resolve).once("error", reject).once("close", () => reject(new TypeError("no response")));
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const { ":status": status, ...fields } = answer;
    const known = Object.entries(fields).filter(([name]) => !name.startsWith(":"));
    return new Response(chunks.length > 0 ? Buffer.concat(chunks) : null, { status, headers: known });
  };

/**
 * RFC 8441: a WebSocket is a stream of the connection, opened with an extended CONNECT.
 *
 * @param {import("node:http2").ClientHttp2Session} session
 */
const webSocketOver = (session) =>
  class Http2WebSocket {
    readyState = 0;
    bufferedAmount = 0;
    binaryType = "arraybuffer";
    onopen = () => {};
    onmessage = (_event) => {};
    onerror = (_event) => {};
    onclose = (_event) => {};
    #sender;

    /** @param {string} url */
    constructor(url) {
      const { pathname, search } = new URL(url);
      const stream = session.request(
        { ":method": "CONNECT", ":protocol": "websocket", ":path": pathname + search, "sec-websocket-version": "13" },
        { endStream: false },
      );
      this.#sender = new Sender(stream);
      const receiver = new Receiver({ isServer: false, binaryType: "arraybuffer" });
      /** @type {{code: number, reason: string} | undefined} */
      let goodbye;
      stream.on("response", ({ ":status": status }) => {
        if (status !== 200) return stream.destroy(new Error(`status ${status}`));
        this.readyState = 1;
        this.onopen();
      });
      stream.pipe(receiver);
      receiver.on("message", (data, isBinary) => this.onmessage({ data: isBinary ? data : data.toString() }));
      receiver.on("ping", (data) => this.#sender.pong(data, true));
      receiver.on("conclude", (code, reason) => {
        goodbye = { code, reason: reason.toString() };
        this.close(code);
        stream.end();
      });
      stream.on("error", (error) => this.onerror(error));
      stream.on("close", () => {
        this.readyState = 3;
        this.onclose(goodbye ?? { code: 1006, reason: "" });
      });
    }

    send(data) {
      this.#sender.send(data, { binary: typeof data !== "string", mask: true, fin: true, compress: false });
    }

    close(code = 1000, reason = "") {
      if (this.readyState >= 2) return;
      this.readyState = 2;
      this.#sender.close(code, reason, true);
    }
  };
