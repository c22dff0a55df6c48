/* How a timeline's times, shares and labels are written. A page may give a Timeline other words than these. */

export const SILENCE = "silence"; // the label of a second without sound

export const WORDS = {
  timeline: "genre timeline",
  time: "time",
  mean: "mean",
  unknown: "not recognized yet",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  scroll: "scroll the timeline",
  key: (column, isSilent) =>
    `A column is ${column}: its height is the probability, in the strong colour where it wins` +
    `${isSilent ? ", shaded in silence" : ""}.`,
  second: "a second",
  meanOf: (length) => `the mean of ${length}`,
  labels: {}, // by the labels that are not written as they are
};

/** A time as m:ss, or as h:mm:ss from an hour on (or if asked to). */
export function formatTime(second, hours = false) {
  const whole = Math.floor(second + 1e-6);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours || h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A probability as whole per cents. */
export function percent(share) {
  return Number.isFinite(share) ? `${Math.round(100 * share)}\u00a0%` : "\u2013";
}

/** A label as a reader would write it: `not_music` is "not music". */
export function inWords(label, words = WORDS) {
  return Object.hasOwn(words.labels, label) ? words.labels[label] : label.replaceAll("_", " ");
}
