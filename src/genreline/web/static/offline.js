/* Keeps the page and its examples, so that they open without a network (sw.js answers then). */

const NAME = "genreline";

/** Keep everything that this page has loaded of its own. */
export async function keepPage() {
  if (!navigator.serviceWorker || !navigator.onLine) return;
  await navigator.serviceWorker.register("sw.js");
  await navigator.serviceWorker.ready;
  const own = new URL(".", location.href).href;
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const kept = loaded.filter((url) => url.startsWith(`${own}assets/`) || url.startsWith(`${own}v1/examples`));
  await (await caches.open(NAME)).addAll([own, ...new Set(kept)]);
}
