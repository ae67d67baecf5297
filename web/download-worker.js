/**
 * The service worker behind lib/stream.js: it answers `/download/<id>` with bytes that a
 * page hands it, chunk by chunk as the browser takes them, and touches no other request.
 */

/** A page that says nothing for so long is gone; what came so far must not look whole (ms). */
const SILENCE = 30_000;

/** @type {Map<string, {name: string, size: number, port: MessagePort}>} announced, not fetched yet */
const downloads = new Map();
/** @type {Set<() => void>} what the page's pings keep from giving up */
const streams = new Set();
/** The worker's own scope, which TypeScript's `dom` does not know. @type {any} */
const scope = self;

scope.addEventListener("install", () => scope.skipWaiting());

scope.addEventListener("message", (/** @type {any} */ { data, ports: [reply, port] }) => {
  for (const heard of streams) heard();
  if (data.type === "download") downloads.set(data.id, { name: data.name, size: data.size, port });
  reply?.postMessage({ type: "pong" });
});

scope.addEventListener("fetch", (/** @type {any} */ event) => {
  const id = new URL(event.request.url).pathname.split("/").pop() ?? "";
  const download = downloads.get(id);
  downloads.delete(id);
  event.respondWith(download ? answer(download) : gone());
});

/** @param {{name: string, size: number, port: MessagePort}} download */
function answer({ name, size, port }) {
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
  return new Response(streamOf(port), {
    headers: {
      "content-type": "application/octet-stream",
      "content-length": String(size),
      "content-disposition": `attachment; filename*=UTF-8''${encoded}`,
      "content-security-policy": "default-src 'none'; sandbox",
      "x-content-type-options": "nosniff",
    },
  });
}

/** @param {MessagePort} port */
function streamOf(port) {
  let timer = 0;
  let settle = () => {};
  /** @type {() => void} */
  let heard;
  const finish = (/** @type {"taken" | "cancel" | "lost"} */ type) => {
    clearTimeout(timer);
    streams.delete(heard);
    port.postMessage({ type });
    port.close();
    settle();
  };
  return new ReadableStream(
    {
      start(controller) {
        const fail = () => {
          controller.error(new Error("the page is gone"));
          finish("lost");
        };
        heard = () => {
          clearTimeout(timer);
          timer = setTimeout(fail, SILENCE);
          port.postMessage({ type: "alive" });
        };
        streams.add(heard);
        heard();
        port.onmessage = ({ data: { type, bytes } }) => {
          if (type === "abort") return fail();
          if (type === "end") controller.close();
          else controller.enqueue(bytes);
          if (type === "end") finish("taken");
          else settle();
        };
      },
      pull() {
        port.postMessage({ type: "pull" });
        return new Promise((resolve) => (settle = () => resolve(undefined)));
      },
      cancel() {
        finish("cancel");
      },
    },
    // It asks for more when the browser has taken all: who is asked knows what is not lost any more.
    { highWaterMark: 1 },
  );
}

/** Somebody opened the address of a download that is over, from the browser's list perhaps: the page says so. */
function gone() {
  return Response.redirect("/?download_over", 303);
}
