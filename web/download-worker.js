/**
 * The service worker of lib/share/targets/stream-target.js. It answers `download/<id>` beside it with the chunks
 * that a page sends it, at the speed of the browser's download, and handles no other request.
 */

/** A page that is silent for this long is gone, and its download fails (ms). */
const PAGE_TIMEOUT = 30_000;
/** A request for a download that began less than this long ago comes from the page that began it (ms). */
const START_TIMEOUT = 30_000;

/** @type {Map<string, {name: string, size: number, port: MessagePort}>} announced by a page and not fetched yet */
const downloads = new Map();
/** @type {Set<() => void>} restart the timeouts of the running streams */
const timeoutResets = new Set();
/** The worker's own scope, which TypeScript's `dom` does not know. @type {any} */
const scope = self;

scope.addEventListener("install", () => scope.skipWaiting());

scope.addEventListener("message", (/** @type {any} */ { data, ports: [reply, port] }) => {
  for (const resetTimeout of timeoutResets) resetTimeout();
  if (data.type === "download") downloads.set(data.id, { name: data.name, size: data.size, port });
  reply?.postMessage({ type: "pong" });
});

scope.addEventListener("fetch", (/** @type {any} */ event) => {
  const id = new URL(event.request.url).pathname.split("/").pop() ?? "";
  const download = downloads.get(id);
  downloads.delete(id);
  event.respondWith(download ? respond(download) : refuse(id));
});

/** @param {{name: string, size: number, port: MessagePort}} download */
function respond({ name, size, port }) {
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
  return new Response(createStream(port), {
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
function createStream(port) {
  let timer = 0;
  let resolvePull = () => {};
  /** @type {() => void} */
  let resetTimeout;
  const finish = (/** @type {"taken" | "cancel" | "lost"} */ type) => {
    clearTimeout(timer);
    timeoutResets.delete(resetTimeout);
    port.postMessage({ type });
    port.close();
    resolvePull();
  };
  return new ReadableStream(
    {
      start(controller) {
        const fail = () => {
          controller.error(new Error("the page is gone"));
          finish("lost");
        };
        resetTimeout = () => {
          clearTimeout(timer);
          timer = setTimeout(fail, PAGE_TIMEOUT);
          port.postMessage({ type: "alive" });
        };
        timeoutResets.add(resetTimeout);
        resetTimeout();
        port.onmessage = ({ data: { type, bytes } }) => {
          if (type === "abort") return fail();
          if (type === "end") controller.close();
          else controller.enqueue(bytes);
          if (type === "end") finish("taken");
          else resolvePull();
        };
      },
      pull() {
        port.postMessage({ type: "pull" });
        return new Promise((resolve) => (resolvePull = () => resolve(undefined)));
      },
      cancel() {
        finish("cancel");
      },
    },
    // The stream requests a chunk only when the browser has taken all previous ones, so the page knows
    // that those are not lost.
    { highWaterMark: 1 },
  );
}

/**
 * The worker was restarted and has lost the download: the page that began it stays, and notices that nothing asks for
 * its chunks. Or the download is over, and its URL was opened again, for example from the browser's list: the page
 * shows a message.
 *
 * @param {string} id begins with the time of its start
 */
function refuse(id) {
  const isStarting = Date.now() - parseInt(id) < START_TIMEOUT;
  return isStarting ? new Response(null, { status: 204 }) : Response.redirect("./?download_over", 303);
}
