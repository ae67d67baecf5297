/** The options of a Socket. */

/**
 * @typedef {object} SocketOptions
 * @property {Record<string, string> | (() => Record<string, string>)} [params] added to the URL's query;
 *   a function is called on every attempt
 * @property {import("./token-source.js").TokenOption} [token] sent beside the URL, in which others would see it. A function
 *   is called on every attempt, and again before the token expires; if it throws a `TokenError`, the socket gives up
 * @property {new (url: string, protocols?: string[]) => WebSocket} [transport] (default: the platform's WebSocket)
 * @property {import("./endpoint.js").Fetch | null} [fetch] asks, if an attempt fails, whether there is a server at the URL at
 *   all, and whether it accepts the token; null: does not ask (default: the platform's fetch)
 * @property {import("../util/clock.js").Clock} [clock]
 * @property {() => number} [random] for jitter
 * @property {import("../util/network-change.js").Network} [network] reports changes of the network, and that the
 *   page is shown again (default: the window)
 * @property {number} [timeout] ms for connecting, joining and pushing, and for the function `token` (default 10 000)
 * @property {number} [heartbeatInterval] ms (default 30 000)
 * @property {number} [bufferLimit] pushes that each channel buffers while disconnected (default 100)
 * @property {number} [sessionTimeout] ms after which the server ends a silent session: its `socket.idle_timeout` (default 60 000)
 */

export {};
