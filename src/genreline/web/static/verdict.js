/* What is said of a whole song, and the legend of its timeline. */

import { swatch } from "./palette.js";
import { ranked } from "./song.js";
import { text } from "./strings.js";
import { formatTime, inWords, percent, SILENCE, songLabels } from "./words.js";

/** A sentence for a song's summary, as nodes, with its label in bold. */
export function verdictOf(summary) {
  const name = (label) => inWords(label, text.timeline);
  const duration = formatTime(summary.duration_s);
  const { first, second, isUnsure } = ranked(summary);
  const { dominant } = summary;
  let sentence;
  if (summary.thresholds && first) {
    const names = songLabels(summary).map((label) => `${name(label)} ${percent(summary.overall[label])}`);
    sentence = names.length ? text.has(names.join(", "), duration) : text.hasNone(name(""), duration);
  } else if (!first) sentence = text.onlySilence(name(SILENCE), duration); // silence is no class
  else if (isUnsure) {
    const shares = [first, second].map(([, share]) => percent(share)).join(text.and);
    sentence = text.isUnsure(text.unsure(name(first[0]), name(second[0])), shares, duration);
  } else {
    sentence = (dominant === "not_music" ? text.isNoMusic : text.sounds)(name(dominant), percent(first[1]), duration);
    sentence.push(second ? text.next(name(second[0]), percent(second[1])) : text.nothingNext);
  }
  const strong = document.createElement("strong");
  strong.textContent = sentence[1];
  return [sentence[0], strong, ...sentence.slice(2)];
}

/** What the verdict means, in a sentence; or "". */
export function noteOf(summary) {
  if (summary.thresholds) return "";
  const key = ranked(summary).isUnsure ? "unsure" : summary.dominant;
  return Object.hasOwn(text.notes, key) ? text.notes[key] : "";
}

/** Fill a list with each class's look, name and mean probability. */
export function fillLegend(list, timeline) {
  const labels = new Set(timeline.runs().flatMap((run) => run.label.split("|")));
  const isSilent = timeline.dominant() === SILENCE; // whose probabilities say nothing
  const entries = timeline.overall().map(([label, share]) => [label, isSilent ? "" : percent(share)]);
  if (labels.has(SILENCE)) entries.push([SILENCE, ""]);
  list.replaceChildren(
    ...entries.map(([label, share]) => {
      const item = document.createElement("li");
      item.classList.toggle("absent", !labels.has(label));
      item.classList.toggle("dominant", timeline.songLabels().includes(label));
      item.append(swatch(timeline.looks.get(label)), `${inWords(label, text.timeline)} ${share}`);
      return item;
    }),
  );
}
