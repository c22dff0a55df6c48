/* The page without a network: from the network where there is one, else as it was kept by offline.js. */

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { method, url, mode } = event.request;
  const isPage = mode === "navigate" && url.split(/[?#]/)[0] === self.registration.scope;
  if (method !== "GET" || !(isPage || /\/(assets|v1\/examples)(\/|$)/.test(url))) return;
  event.respondWith(
    fetch(event.request).catch(async () => (await caches.match(event.request, { ignoreSearch: true })) ?? Response.error()),
  );
});
