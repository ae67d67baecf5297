/** The official clients against brokers that speak TLS: their whole suites, and what only TLS can do wrong. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:https";
import { after, test } from "node:test";
import { startBroker } from "../broker.mjs";
import { temporaryCertificate, testOverTls } from "../over-tls.mjs";
import { until } from "./await.mjs";

await testOverTls(["clients/phoenix.test.mjs", "clients/socketio.test.mjs", "clients/hello.test.mjs", "clients/original.test.mjs"]);

const { cert, key, ca } = await temporaryCertificate();
const broker = await startBroker({ set: { "tls.cert": cert, "tls.key": key, "tls.redirect": "127.0.0.1:0" } });
after(() => broker.kill());

/**
 * @param {string} url
 * @param {import("node:https").RequestOptions} [options]
 * @returns {Promise<number>} the status of the response
 */
async function get(url, options) {
  const asked = request(url, options).end();
  const [response] = await once(asked, "response");
  response.resume();
  return response.statusCode;
}

test("a client that trusts the certificate reaches the page, and only by the certificate's name", async () => {
  assert.equal(await get(broker.url, { ca }), 200);
  await assert.rejects(get(broker.url), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  await assert.rejects(get(broker.url.replace("127.0.0.1", "localhost"), { ca }), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
});

test("a client that asks for https by http is told where it is", async () => {
  const address = () => /^redirect (http:.*)$/m.exec(broker.said())?.[1];
  await until(() => address() !== undefined, "the address of the redirect");
  const response = await fetch(`${address()}a/b?peer_id=1`, { redirect: "manual" });
  assert.equal(response.status, 308);
  assert.equal(response.headers.get("location"), `${broker.url}a/b?peer_id=1`);
});
