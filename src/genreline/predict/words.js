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
    `A column is ${column}: its height is the probability, in the strong colour where it is a label` +
    `${isSilent ? ", shaded in silence" : ""}.`,
  second: "a second",
  meanOf: (length) => `the mean of ${length}`,
  noLabel: "no label", // of a second or a song that has none of a multi-label model's
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

/** A label as a reader would write it: `not_music` is "not music", `piano|voice` "piano, voice". */
export function inWords(label, words = WORDS) {
  if (!label) return words.noLabel;
  const inWord = (name) => (Object.hasOwn(words.labels, name) ? words.labels[name] : name.replaceAll("_", " "));
  return label.split("|").map(inWord).join(", ");
}

/** The labels of a whole song: its dominant genre, or all of a multi-label model's whose mean reaches their threshold. */
export function songLabels({ dominant, overall, thresholds }) {
  if (!thresholds || dominant === SILENCE) return [dominant];
  return Object.keys(overall).filter((name) => reaches(overall[name], thresholds[name]));
}

/** Whether a probability reaches a threshold: as Python compares them, as float32. */
export function reaches(share, threshold) {
  return Math.fround(share) >= Math.fround(threshold);
}
