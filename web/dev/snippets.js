/**
 * Programs for this very broker, to copy. Each one runs as it stands and prints something; tests/browser/dev-page.test.mjs
 * runs them all.
 */

import { brokerUrl, find, httpUrl, webSocketUrl } from "./endpoints.js";

/** @typedef {import("./endpoints.js").Endpoint} Endpoint */

/**
 * @typedef {object} Snippet
 * @property {string} id
 * @property {string} title
 * @property {"js" | "sh"} language
 * @property {string} code
 * @property {string} note empty: none
 */

const OTHER_PAGES = "Pages of other sites are refused until this key lists them: ";

/**
 * @param {Endpoint[]} endpoints
 * @returns {Snippet[]} for the protocols that are on
 */
export function snippetsFor(endpoints) {
  const [phoenix, peerjs, socketio, relay, hello] = ["phoenix", "peerjs", "socketio", "relay", "hello"].map((name) => find(endpoints, name));
  const ice = find(endpoints, "ice");
  return [
    phoenix && ofLibrary(phoenix),
    // The library's calls for files connect to /socket.
    phoenix?.path === "/socket" ? ofFiles() : null,
    phoenix && ofPhoenix(phoenix),
    peerjs && ofPeerJs(peerjs, ice),
    socketio && ofSocketIo(socketio),
    phoenix && ofWebSocket(phoenix),
    relay && ofRelay(relay),
    hello && ofHello(hello),
    ofCurl({ phoenix, peerjs, ice }),
  ].filter((snippet) => snippet !== null);
}

/**
 * @param {string} key
 * @param {Endpoint} endpoint
 */
function noteOn(key, { pages }) {
  return pages === "any" ? "" : OTHER_PAGES + key;
}

/** @param {Endpoint} phoenix */
function ofLibrary(phoenix) {
  return js("library", "Our library", noteOn("socket.check_origin", phoenix), `
import { Presence, Socket } from "${httpUrl("/lib/index.js")}";

const room = new Socket("${webSocketUrl(phoenix.path)}").channel("room:lobby", { meta: { name: "me" } });
const presence = new Presence(room);
presence.on("sync", () => console.log("here:", presence.list().map(({ metas }) => metas[0].name)));
room.on("hello", (payload) => console.log("hello from", payload.name));

await room.join();
await room.push("hello", { name: "me" }); // to all others in the room
`);
}

function ofFiles() {
  return js("files", "Our library: files", "The page that runs this must be of this host.", `
import { receive, share } from "${httpUrl("/lib/share/index.js")}";

const files = [new File(["hello"], "hello.txt")]; // or those of an <input type="file" multiple>
const { link } = await share(files, { page: "${brokerUrl()}" });
console.log("open", link);

// The other side opens the link in a browser, or in a program:
const { entries, stop } = await receive(link);
console.log("shared:", entries.map(({ path, size }) => \`\${path.join("/")}, \${size} bytes\`));
await stop();
`);
}

/** @param {Endpoint} phoenix */
function ofPhoenix(phoenix) {
  return js("phoenix", "phoenix.js", noteOn("socket.check_origin", phoenix), `
import { Presence, Socket } from "phoenix"; // npm install phoenix

const socket = new Socket("${webSocketUrl(phoenix.path)}");
socket.connect();

const room = socket.channel("room:lobby", { meta: { name: "me" } });
const presence = new Presence(room);
presence.onSync(() => console.log("here:", presence.list((id, { metas }) => metas[0].name)));
room.on("hello", (payload) => console.log("hello from", payload.name));
room.join().receive("ok", () => room.push("hello", { name: "me" })); // to all others in the room
`);
}

/**
 * @param {Endpoint} peerjs
 * @param {Endpoint | null} ice
 */
function ofPeerJs(peerjs, ice) {
  const { hostname, port, protocol } = brokerUrl();
  const isSecure = protocol === "https:";
  const options = [
    `  host: "${hostname}",`,
    `  port: ${port || (isSecure ? 443 : 80)},`,
    `  path: "${new URL(`${httpUrl(peerjs.path)}/`).pathname}",`,
    `  secure: ${isSecure},`,
    ...(peerjs.needs_key ? ['  key: "YOUR-KEY", // the value of peerjs.key of this broker'] : []),
    ...(ice ? [`  config: await (await fetch("${httpUrl(ice.path)}")).json(), // the broker's STUN and TURN servers`] : []),
  ];
  const note = ice ? noteOn("ice.check_origin (for its STUN and TURN servers)", ice) : noteOn("peerjs.cors", peerjs);
  return js("peerjs", "PeerJS", note, `
import { Peer } from "peerjs"; // npm install peerjs

const peer = new Peer({
${options.join("\n")}
});
peer.on("open", (id) => console.log("my id:", id));
peer.on("connection", (connection) => connection.on("data", (data) => console.log(data)));

// On the other page, with the id that this one has printed:
// const connection = peer.connect(id);
// connection.on("open", () => connection.send("hello"));
`);
}

/** @param {Endpoint} socketio */
function ofSocketIo(socketio) {
  const { origin, pathname } = new URL(httpUrl(socketio.path));
  const options = pathname === "/socket.io" ? "" : `, { path: "${pathname}" }`;
  return js("socketio", "Socket.IO", noteOn("socketio.check_origin", socketio), `
import { io } from "socket.io-client"; // npm install socket.io-client

const socket = io("${origin}"${options});
socket.on("connect", () => console.log("my id:", socket.id));
socket.on("message", ({ from, ...message }) => console.log("from", from, message));
socket.emit("join", { room: "lobby" });
socket.emit("message", { text: "hello" }); // to all others in the room
`);
}

/** @param {Endpoint} phoenix */
function ofWebSocket(phoenix) {
  return js("websocket", "Plain WebSocket", noteOn("socket.check_origin", phoenix), `
const socket = new WebSocket("${webSocketUrl(phoenix.path)}/websocket?vsn=2.0.0");
const send = (...message) => socket.send(JSON.stringify(message));
socket.onmessage = ({ data }) => console.log(data);
socket.onopen = () => {
  // join_ref, ref, topic, event, payload
  send("1", "1", "room:lobby", "phx_join", {});
  send("1", "2", "room:lobby", "hello", { name: "me" }); // to all others in the room
  setInterval(() => send(null, "3", "phoenix", "heartbeat", {}), 30_000);
};
`);
}

/** @param {Endpoint} relay */
function ofRelay(relay) {
  return js("relay", "Plain relay", noteOn("relay.check_origin", relay), `
const socket = new WebSocket("${webSocketUrl(relay.path)}");
socket.onmessage = ({ data }) => console.log(data);
socket.onopen = () => {
  console.log("connected");
  socket.send("hello"); // to all others
};
`);
}

/** @param {Endpoint} hello */
function ofHello(hello) {
  return js("hello", "HelloWebRTC", noteOn("hello.check_origin", hello), `
const socket = new WebSocket("${webSocketUrl(hello.path)}");
socket.onmessage = ({ data }) => console.log(data);
// To oneself, for a beginning: the message registers the name "ann".
socket.onopen = () => socket.send(JSON.stringify({ messageType: "unicast", from: "ann", to: "ann", content: "hello" }));
`);
}

/** @param {{phoenix: Endpoint | null, peerjs: Endpoint | null, ice: Endpoint | null}} endpoints */
function ofCurl({ phoenix, peerjs, ice }) {
  const get = (/** @type {string} */ path) => `curl -sS '${httpUrl(path)}'; echo`;
  const lines = [
    `# Does it run?\n${get("/healthz")}`,
    ice && `# Its STUN and TURN servers\n${get(ice.path)}`,
    phoenix && `# A Phoenix session without a WebSocket: the reply has the token of the next requests\n${get(`${phoenix.path}/longpoll?vsn=2.0.0`)}`,
    peerjs && `# A random id for a PeerJS client\n${get(`${peerjs.path}/peerjs/id`)}`,
  ];
  return { id: "curl", title: "curl", language: /** @type {const} */ ("sh"), note: "", code: lines.filter(Boolean).join("\n\n") };
}

/**
 * @param {string} id
 * @param {string} title
 * @param {string} note
 * @param {string} code
 * @returns {Snippet}
 */
function js(id, title, note, code) {
  return { id, title, language: "js", note, code: code.trim() };
}
