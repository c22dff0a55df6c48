/* Bringing into sight what begins to fill. */

/** Scroll so that an element is at the top, smoothly unless the reader wants no motion. */
export function bringToTop(element) {
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
  element.scrollIntoView({ block: "start", behavior });
}
