/** Finds out why a broker cannot be reached, by the request that its WebSocket begins with. */

import { randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";
import { isIP } from "node:net";
import tls from "node:tls";
import { REFUSALS } from "../channels/endpoint.js";
import { tokenError } from "../channels/errors.js";
import { subprotocols } from "../channels/token-source.js";
import { excerpt } from "../util/excerpt.js";
import { isTemporary } from "../util/temporary.js";
import { TOKEN_REFUSED, errorMessage } from "./messages.js";

/** How long the broker may take to answer (ms). */
const LIMIT = 10_000;
/** Of a server's answer, in a message. */
const MAX_URL = 200;

/** @typedef {{cause: string, isFinal: boolean, exitCode?: number}} Diagnosis cause: sentences for the user; final: waiting cannot help */
/** @typedef {{status: number, location: string | undefined, refusal: import("../channels/errors.js").TokenError | null}} Answer */
/** @typedef {{code: string, message: string}} Failure */

/** @type {Record<string, string>} by the error's code: what is wrong with the certificate of a host */
const CERTIFICATE_FAULTS = {
  CERT_HAS_EXPIRED: "has expired",
  CERT_NOT_YET_VALID: "is not valid yet. Check the clock of this computer",
  CERT_REVOKED: "was revoked",
  ERR_TLS_CERT_ALTNAME_INVALID: "belongs to another name",
  DEPTH_ZERO_SELF_SIGNED_CERT: "is signed by nobody but itself. To trust it, set NODE_EXTRA_CA_CERTS to its file",
};
const UNTRUSTED = "is signed by an authority that this computer does not know. To trust it, set NODE_EXTRA_CA_CERTS to its certificate";
const UNTRUSTED_CODES = ["SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "CERT_UNTRUSTED"];

/** HTTP statuses of a server that is busy or restarting. */
const TEMPORARY = [408, 425, 429, 500, 502, 503, 504];

/**
 * @param {URL} page the broker's, with a slash at the end
 * @param {import("./token.js").ReadToken | string} token
 * @param {AbortSignal} signal ends the probe
 * @returns {Promise<Diagnosis>}
 */
export async function diagnose(page, token, signal) {
  const url = new URL("socket/websocket?vsn=2.0.0", page);
  let text;
  try {
    text = typeof token === "function" ? await token({ signal }) : token;
  } catch (error) {
    return temporary(`The token cannot be read: ${/** @type {Error} */ (error).message}.`);
  }
  const answer = await request(url, text, signal);
  const isFailure = "code" in answer;
  // A server with TLS that gets a request in clear closes the connection, or answers 400 in clear.
  const isPerhapsTls = isFailure ? isProtocolFault(answer) : answer.status === 400;
  if (url.protocol === "http:" && isPerhapsTls && (await speaksTls(url, signal))) {
    return final(`${page.host} expects an encrypted connection: the address has to begin with https://.`);
  }
  if (!isFailure) return ofAnswer(answer, page);
  if (url.protocol === "https:" && isProtocolFault(answer)) {
    const inClear = await request(new URL(url.href.replace("https", "http")), "", signal);
    if ("status" in inClear && inClear.status !== 400) return final(`${page.host} speaks no TLS: the address has to begin with http://.`);
  }
  return ofFailure(answer, page);
}

/**
 * @param {Answer} answer
 * @param {URL} page
 * @returns {Diagnosis}
 */
function ofAnswer({ status, location, refusal }, page) {
  if (refusal && isTemporary(refusal)) return temporary(errorMessage(refusal));
  if (refusal) return { cause: errorMessage(refusal), isFinal: true, exitCode: TOKEN_REFUSED };
  if (status === 101) return temporary(`The broker at ${page} cannot be reached at the moment.`);
  if (TEMPORARY.includes(status)) return temporary(`The broker at ${page} is busy or restarting (HTTP ${status}).`);
  if (status >= 300 && status < 400 && location && URL.canParse(location, page)) {
    const target = new URL(location, page).href.replace(/socket\/websocket(\?.*)?$/, "");
    return final(`${page} leads to ${target.slice(0, MAX_URL)}: use that address.`);
  }
  if (status === 404) return final(`There is a server at ${page.origin}, but no broker at the path ${page.pathname}: check the address.`);
  if (status === 401 || status === 403) return final(`The server at ${page} refuses the connection (HTTP ${status}).`);
  return final(`The server at ${page} is no broker, or something between does not pass on WebSockets (HTTP ${status}): check the address.`);
}

/**
 * @param {Failure} failure
 * @param {URL} page
 * @returns {Diagnosis}
 */
function ofFailure({ code, message }, page) {
  const { hostname, host } = page;
  const port = page.port || (page.protocol === "https:" ? "443" : "80");
  const fault = CERTIFICATE_FAULTS[code] ?? (UNTRUSTED_CODES.includes(code) ? UNTRUSTED : null);
  if (fault) return final(`The certificate of ${host} ${fault}.`);
  if (code === "ENOTFOUND") return final(`There is no host named ${hostname}: check the address.`);
  if (code === "EAI_AGAIN") return temporary(`The name ${hostname} cannot be looked up at the moment: check your network.`);
  if (code === "ECONNREFUSED") return temporary(`${hostname} refuses connections to port ${port}: no broker runs there at the moment, or the port is wrong.`);
  if (code === "ETIMEDOUT" || code === "EHOSTUNREACH" || code === "ENETUNREACH") return temporary(`${hostname} does not answer on port ${port}: check the address and your network.`);
  if (code === "ECONNRESET") return temporary(`${hostname} closes each connection to port ${port}.`);
  if (code.startsWith("HPE_")) return final(`${host} is no web server: check the port.`);
  if (isProtocolFault({ code, message })) return final(`${host} cannot agree on an encrypted connection (${excerpt(code)}).`);
  return temporary(`The broker at ${page} cannot be reached (${excerpt(message)}).`);
}

/** @param {string} cause @returns {Diagnosis} */
function final(cause) {
  return { cause, isFinal: true };
}

/** @param {string} cause @returns {Diagnosis} */
function temporary(cause) {
  return { cause, isFinal: false };
}

/**
 * @param {Failure} failure
 * @returns {boolean} whether the other side may speak another protocol
 */
function isProtocolFault({ code }) {
  return code === "ECONNRESET" || code === "EPROTO" || code.startsWith("HPE_") || code.startsWith("ERR_SSL_");
}

/**
 * @param {URL} url
 * @param {string} token
 * @param {AbortSignal} signal
 * @returns {Promise<Answer | Failure>}
 */
function request(url, token, signal) {
  /** @type {http.OutgoingHttpHeaders} */
  const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": randomBytes(16).toString("base64") };
  const protocols = subprotocols(token);
  if (protocols) headers["Sec-WebSocket-Protocol"] = protocols.join(", ");
  return new Promise((resolve) => {
    const sent = (url.protocol === "https:" ? https : http).get(url, { headers, agent: false, signal });
    const timer = setTimeout(() => sent.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })), LIMIT);
    const onAnswer = async (/** @type {http.IncomingMessage} */ response) => {
      const { statusCode: status = 0, headers: { location } } = response;
      const refusal = REFUSALS.includes(status) ? tokenError(await beginOf(response)) : null;
      resolve({ status, location, refusal });
      sent.destroy();
    };
    sent.on("response", (response) => void onAnswer(response)).on("upgrade", (response, socket) => (void onAnswer(response), socket.destroy()));
    sent.on("error", (/** @type {NodeJS.ErrnoException} */ { code = "", message }) => resolve({ code, message }));
    sent.on("close", () => clearTimeout(timer));
  });
}

/**
 * @param {http.IncomingMessage} response
 * @returns {Promise<string>} what arrives first of its body; empty also if nothing does
 */
function beginOf(response) {
  return new Promise((resolve) => {
    response.once("data", (bytes) => resolve(String(bytes))).once("close", () => resolve(""));
  });
}

/**
 * @param {URL} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<boolean>}
 */
function speaksTls({ hostname, port }, signal) {
  const host = hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve) => {
    const socket = tls.connect({ host, port: Number(port) || 80, servername: isIP(host) ? "" : host, rejectUnauthorized: false });
    const end = (/** @type {boolean} */ isTls) => {
      resolve(isTls);
      socket.destroy();
    };
    socket.setTimeout(LIMIT, () => end(false));
    signal?.addEventListener("abort", () => end(false), { once: true });
    socket.on("secureConnect", () => end(true)).on("error", () => end(false)).on("close", () => end(false));
  });
}
