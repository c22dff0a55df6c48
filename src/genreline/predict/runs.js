/* The list of a song's runs: stretches of consecutive seconds with one label, as buttons. */

import { make } from "./lanes.js";
import { looksAt, swatch } from "./palette.js";
import { formatTime, inWords, percent, SILENCE, WORDS } from "./words.js";

/** Fill a list element with a button for each run; `onPlay` gets the start of the one that is pressed. */
export function listRuns(list, runs, looks, onPlay, words = WORDS) {
  list.classList.add("timeline-runs");
  list.classList.toggle("timeline-runs-hours", runs.some((run) => run.end_s >= 3600));
  list.replaceChildren(
    ...runs.map((run) => {
      const button = make("button", "timeline-run");
      button.type = "button";
      [button.dataset.startS, button.dataset.endS] = [run.start_s, run.end_s];
      const [from, to] = [formatTime(run.start_s), formatTime(run.end_s)];
      const confidence = run.label === SILENCE ? NaN : run.confidence;
      button.append(
        ...looksAt(run.label, looks).map(swatch),
        make("span", "timeline-run-span", from === to ? from : `${from}\u2013${to}`),
        make("span", "timeline-run-label", inWords(run.label, words)),
        make("span", "timeline-run-confidence", percent(confidence)),
      );
      button.addEventListener("click", () => onPlay(run.start_s));
      const item = make("li");
      item.append(button);
      return item;
    }),
  );
}

/** Mark the runs that a second is in; at the end of a song, those that end with it. */
export function markRuns(list, second) {
  const buttons = [...list.querySelectorAll("button")];
  const endS = Math.max(...buttons.map((button) => Number(button.dataset.endS)));
  for (const button of buttons) {
    const { startS, endS: stopS } = button.dataset;
    const isCurrent = Number(startS) <= second && (second < Number(stopS) || Number(stopS) === endS);
    if (isCurrent === button.hasAttribute("aria-current")) continue;
    if (isCurrent) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}
