/**
 * The app's service worker. It does what a page cannot: it takes what other apps share with the installed app, before
 * there is a page, and shows notifications. It controls no page, and answers only the POST of the share target.
 */

/** Each share of another app has a cache of its own: this, and its id. app/from-apps.js reads and deletes it. */
const CACHE = "handclasp.shared.";
/** A share with more files is not taken. */
const MAX_FILES = 1_000;
/** A share that no page has read for this long is deleted (ms). */
const MAX_AGE = 60 * 60 * 1_000;
/** The worker itself, which TypeScript's `dom` does not know. @type {any} */
const worker = self;

worker.addEventListener("install", () => worker.skipWaiting());

worker.addEventListener("fetch", (/** @type {any} */ event) => {
  if (event.request.method === "POST") event.respondWith(take(event.request));
});

worker.addEventListener("message", (/** @type {any} */ event) => {
  const { data, source } = event;
  const options = { body: data.text, icon: "icon-192.png", tag: source.id, renotify: true, data: source.id };
  event.waitUntil(worker.registration.showNotification(data.title, options));
});

worker.addEventListener("notificationclick", (/** @type {any} */ event) => {
  event.notification.close();
  event.waitUntil(focusPage(event.notification.data));
});

/** @param {string} id of the page that has sent the notification */
async function focusPage(id) {
  await (await worker.clients.get(id))?.focus();
}

/**
 * Keeps what another app shares, and leads to the page.
 *
 * @param {Request} request
 */
async function take(request) {
  const id = `${Date.now()}-${crypto.randomUUID()}`;
  try {
    await deleteOld();
    await keep(`${CACHE}${id}`, await request.formData());
    return Response.redirect(`./?shared=${id}`, 303);
  } catch {
    // The disk is full, or the other app's files cannot be read. The page asks for them.
    await caches.delete(`${CACHE}${id}`);
    return Response.redirect("./?not_shared", 303);
  }
}

/**
 * @param {string} name of the cache
 * @param {FormData} form
 */
async function keep(name, form) {
  // A form without a file has one without a name.
  const files = form.getAll("files").filter((file) => file instanceof File).filter(({ name, size }) => name !== "" || size > 0);
  const text = textOf(form);
  if (files.length > MAX_FILES || (files.length === 0 && text === "")) throw new Error("nothing to share, or too much");
  const cache = await caches.open(name);
  const put = (/** @type {Record<string, string>} */ query, /** @type {BodyInit} */ body) => {
    return cache.put(`${worker.registration.scope}?${new URLSearchParams(query)}`, new Response(body));
  };
  for (const [index, file] of files.entries()) await put({ index: String(index), name: file.name }, file);
  if (text !== "") await put({}, text);
}

/**
 * Apps put an address into any of the three fields, and often into two of them.
 *
 * @param {FormData} form
 */
function textOf(form) {
  const parts = ["title", "text", "url"].map((field) => String(form.get(field) ?? "").trim());
  return parts.filter((part, index) => part !== "" && !parts.some((other, at) => other.includes(part) && (other !== part || at < index))).join("\n");
}

async function deleteOld() {
  const isOld = (/** @type {string} */ name) => Date.now() - parseInt(name.slice(CACHE.length)) > MAX_AGE;
  const old = (await caches.keys()).filter((name) => name.startsWith(CACHE) && isOld(name));
  await Promise.all(old.map((name) => caches.delete(name)));
}
