/* A song's stretches of one label, as Timeline.runs() of timeline.py makes them. */

import { hasLabel } from "./lanes.js";
import { SILENCE } from "./words.js";

/**
 * Equal consecutive labels as one stretch each, with its mean confidence; of a multi-label model the stretches of each
 * label, in the order of their starts. The seconds are as Timeline.to_dict() writes them.
 */
export function stretchesOf(seconds, classes, isMultiLabel) {
  if (!isMultiLabel) return joined(seconds);
  const having = (name) => (second) => ({
    ...second,
    label: hasLabel(second.label, name) ? name : "",
    confidence: second.probabilities[name] ?? 0,
  });
  return [...classes, SILENCE]
    .flatMap((name) => joined(seconds.map(having(name))).filter(({ label }) => label))
    .sort((a, b) => a.start_s - b.start_s);
}

function joined(seconds) {
  const stretches = [];
  for (const { start_s, end_s, label, confidence } of seconds) {
    if (stretches.at(-1)?.label !== label) stretches.push({ start_s, end_s, label, confidence: 0 });
    const last = stretches.at(-1);
    last.end_s = end_s;
    last.confidence += (end_s - start_s) * confidence;
  }
  return stretches.map((each) => ({ ...each, confidence: each.confidence / (each.end_s - each.start_s) }));
}
