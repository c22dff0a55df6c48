/* The probabilities below the ribbon: a lane for each genre, in it each second a bar as high as the genre's probability. */

import { formatTime, inWords, percent } from "./words.js";

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
const MOST_COLUMNS = 1100;
const SVG = "http://www.w3.org/2000/svg";

/** The cells of the lanes, to be children of a grid. */
export class Lanes {
  constructor(classes, words) {
    this._words = words;
    this._classes = classes;
    this._lanes = classes.map((name) => makeLane(inWords(name, words)));
    this._timeHead = make("div", "timeline-lane timeline-at timeline-head");
    const meanHead = make("div", "timeline-lane timeline-mean timeline-head", words.mean);
    const heads = [make("div", "timeline-lane timeline-corner"), meanHead, this._timeHead];
    this.cells = [...heads, ...this._lanes.flatMap((lane) => [lane.name, lane.mean, lane.at, lane.plot])];
  }

  /** The numbers of one second: `shares` in class order, or null where there are none; `label` is its label. */
  showSecond(second, shares, label) {
    setText(this._timeHead, formatTime(second));
    this._lanes.forEach((lane, i) => {
      setText(lane.at, percent(shares ? shares[i] : NaN));
      lane.at.classList.toggle("timeline-won", hasLabel(label, this._classes[i]));
    });
  }

  /** Draw rows (see Timeline) from `fromS` on, `spanS` seconds in `width` pixels. Returns the words that explain it. */
  draw({ rows, fromS, spanS, width, means, songLabels, isMultiLabel }) {
    const columnS = stepOf(spanS, Math.min(MOST_COLUMNS, Math.max(200, width)));
    const columns = columnsOf(rows, columnS, fromS, fromS + spanS, this._classes, isMultiLabel);
    const gap = columns.length && width / (spanS / columnS) >= 6 ? 0.12 * columnS : 0; // room between two columns
    const silent = columns.filter((column) => column.silent);
    this._lanes.forEach((lane, i) => {
      const bar = (column) => {
        const right = Math.max(column.end_s - gap, column.start_s + (column.end_s - column.start_s) / 2);
        return `M${column.start_s} 1V${1 - column.shares[i]}H${right}V1Z`;
      };
      const block = (column) => `M${column.start_s} 0H${column.end_s}V1H${column.start_s}Z`;
      const won = columns.filter((column) => column.winners.includes(i));
      const lost = columns.filter((column) => !column.winners.includes(i) && !column.silent);
      lane.plot.setAttribute("viewBox", `${fromS} 0 ${spanS} 1`);
      lane.known.setAttribute("d", columns.map(block).join(""));
      lane.tint.setAttribute("d", won.map(block).join(""));
      lane.silent.setAttribute("d", silent.map(block).join(""));
      lane.bars.setAttribute("d", lost.map(bar).join(""));
      lane.winner.setAttribute("d", won.map(bar).join(""));
      setText(lane.mean, percent(means[i]));
      const isSongs = songLabels.includes(this._classes[i]);
      for (const cell of [lane.name, lane.mean]) cell.classList.toggle("timeline-won", isSongs);
    });
    const length = columnS < 60 ? `${columnS} s` : `${columnS / 60} min`;
    return this._words.key(columnS === 1 ? this._words.second : this._words.meanOf(length), silent.length > 0);
  }
}

/** Each class's mean over the rows with sound from `start` to before `stop`, weighted by their lengths, or null. */
export function meanOf(rows, start, stop, nClasses) {
  const sums = new Array(nClasses).fill(0);
  let lengthS = 0;
  for (let i = start; i < stop; i++) {
    if (!rows[i] || rows[i].silent) continue;
    lengthS += rows[i].end_s - i;
    for (let c = 0; c < nClasses; c++) sums[c] += rows[i].shares[c] * (rows[i].end_s - i);
  }
  return lengthS ? sums.map((sum) => sum / lengthS) : null;
}

/** The place of the highest number, the first of equals. */
export function indexOfHighest(numbers) {
  return numbers.indexOf(Math.max(...numbers));
}

/** The smallest round step, in seconds, of which `count` cover the duration. */
export function stepOf(durationS, count) {
  return STEPS_S.find((step) => step * count >= durationS) ?? STEPS_S.at(-1);
}

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Set a text only where it changes, to avoid needless layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The seconds in sight as [{ start_s, end_s, shares, winners, silent }], each column the mean of `columnS` seconds.
 *
 * The winners are the classes whose label it has; of several seconds, the class with the highest mean, or with several
 * labels a second, those whose label half of them have.
 */
function columnsOf(rows, columnS, fromS, untilS, classes, isMultiLabel) {
  const columns = [];
  const end = Math.min(rows.length, untilS);
  for (let start_s = Math.floor(fromS / columnS) * columnS; start_s < end; start_s += columnS) {
    const stop = Math.min(start_s + columnS, rows.length);
    const shares = meanOf(rows, start_s, stop, classes.length);
    const end_s = rows[stop - 1]?.end_s ?? stop;
    if (shares) {
      const isMean = columnS > 1 && !isMultiLabel;
      const winners = isMean ? [indexOfHighest(shares)] : labelledIn(rows.slice(start_s, stop), classes);
      columns.push({ start_s, end_s, shares, winners, silent: false });
    } else if (rows.slice(start_s, stop).some((row) => row)) {
      columns.push({ start_s, end_s, shares: [], winners: [], silent: true });
    }
  }
  return columns;
}

/** The places of the classes whose label at least half of the rows with sound have. */
function labelledIn(rows, classes) {
  const known = rows.filter((row) => row && !row.silent);
  const isWinner = (name) => 2 * known.filter((row) => hasLabel(row.label, name)).length >= known.length;
  return classes.flatMap((name, i) => (isWinner(name) ? [i] : []));
}

/** Whether a label, which may be several (`piano|voice`), names a class. */
export function hasLabel(label, name) {
  return label === name || Boolean(label?.split("|").includes(name));
}

function makeLane(name) {
  const plot = document.createElementNS(SVG, "svg");
  plot.setAttribute("class", "timeline-lane timeline-plot");
  plot.setAttribute("preserveAspectRatio", "none");
  plot.setAttribute("aria-hidden", "true");
  const layers = {};
  for (const layer of ["known", "tint", "silent", "bars", "winner"]) {
    layers[layer] = document.createElementNS(SVG, "path");
    layers[layer].setAttribute("class", `timeline-${layer}`);
    plot.append(layers[layer]);
  }
  const cell = (part, text) => make("div", `timeline-lane timeline-${part}`, text);
  return { name: cell("name", name), mean: cell("mean"), at: cell("at"), plot, ...layers };
}
