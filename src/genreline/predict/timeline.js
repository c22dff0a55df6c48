/* The genre timeline in a browser: a lane for each genre, in it each second a bar as high as the genre's probability.
 *
 * The same picture as plot.py's. Labels, runs and means come from timeline.py, not from here. It has no dependencies,
 * needs timeline.css (whose custom properties hold the colours, the page's ground too: --timeline-page), and works under
 * a Content-Security-Policy without 'unsafe-inline'. Titles and class names may be hostile: every text goes in as
 * textContent.
 *
 *   import { Timeline, formatTime, listRuns, percent } from "./timeline.js";
 *
 *   const view = new Timeline(element, {
 *     classes: ["blues", "jazz"],   // or later, by setClasses
 *     durationS: 213.4,             // or null: the time axis grows with the data until setDuration
 *     onSeek: (second) => {},       // click, drag or keys chose a time; the view's cursor is there already
 *   });
 *   view.add([{ start_s: 0, end_s: 1, label: "jazz", confidence: 0.8, probabilities: { blues: 0.2, jazz: 0.8 } }]);
 *                                   // as in Timeline.to_dict(),
 *                                   // any number at a time; a second that is added again is replaced
 *   view.setCursor(12.5);           // draws the cursor there; does not call onSeek
 *   view.setDuration(213.4);        // seconds, or null
 *   view.setClasses([...]);         // from top to bottom; drops all seconds
 *   view.clear();                   // drops all seconds, and goes back to 0
 *   view.at(12.5);                  // { start_s, end_s, label, confidence, probabilities: [[name, share], ...] }, or null
 *   view.setSummary({ overall, dominant });   // of the complete song, as in Timeline.to_dict(): shown from now on
 *   view.overall();                 // [[name, mean probability over time], ...] in class order: the summary's, or
 *                                   // before there is one, that of the seconds so far; NaN without seconds
 *   view.dominant();                // the summary's, or the name with the highest mean so far; null without seconds
 *   view.cursorS, view.durationS, view.classes
 *
 *   listRuns(ol, song.runs, (start_s) => {});   // fills a list with a button for each run
 *   formatTime(3671) === "1:01:11"; percent(0.631) === "63 %";
 *
 * A click or a drag seeks; so do the arrow keys: left and right by 1 s, up and down (or with Shift) by 10 s; Home, End.
 */

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
const MOST_COLUMNS = 1100;
const KEYS_S = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -10, ArrowUp: 10, PageDown: -10, PageUp: 10 };
const SILENCE = "silence"; // the label of a second without sound
const SVG = "http://www.w3.org/2000/svg";

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

/** Fill a list element with a button for each run; `onPlay` gets the start of the one that is pressed. */
export function listRuns(list, runs, onPlay) {
  list.classList.add("timeline-runs");
  list.classList.toggle("timeline-runs-hours", runs.length > 0 && runs.at(-1).end_s >= 3600);
  list.replaceChildren(
    ...runs.map((run) => {
      const button = make("button", "timeline-run");
      button.type = "button";
      button.dataset.startS = run.start_s;
      const span = `${formatTime(run.start_s)}\u2013${formatTime(run.end_s)}`;
      button.append(make("span", "timeline-run-span", span), make("span", "timeline-run-label", run.label));
      const confidence = run.label === SILENCE ? NaN : run.confidence;
      button.append(make("span", "timeline-run-confidence", percent(confidence)));
      button.addEventListener("click", () => onPlay(run.start_s));
      const item = make("li");
      item.append(button);
      return item;
    }),
  );
}

export class Timeline {
  constructor(element, { classes = [], durationS = null, onSeek = () => {} } = {}) {
    this.onSeek = onSeek;
    this.durationS = durationS;
    this.cursorS = 0;
    this._hoverS = null;
    this._frame = 0;
    this._grid = make("div", "timeline-grid");
    this._key = make("p", "timeline-key");
    this._slider = this._makeSlider();
    const root = make("div", "timeline");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "genre timeline");
    root.append(this._grid, this._key);
    element.replaceChildren(root);
    this.setClasses(classes);
    new ResizeObserver(() => this._redraw()).observe(root);
  }

  setClasses(classes) {
    this.classes = [...classes];
    this._atHead = make("div", "timeline-at timeline-head");
    this._axis = make("div", "timeline-axis");
    this._axis.setAttribute("aria-hidden", "true");
    this._lanes = this.classes.map(makeLane);
    this._grid.replaceChildren(
      make("div", "timeline-corner"),
      make("div", "timeline-mean timeline-head", "mean"),
      this._atHead,
      ...this._lanes.flatMap((lane) => [lane.name, lane.mean, lane.at, lane.plot]),
      this._axis,
      this._slider,
    );
    this.clear();
  }

  setDuration(durationS) {
    this.durationS = durationS;
    this._redraw();
  }

  clear() {
    this._rows = []; // row i: { end_s, label, confidence, shares } of the second that starts at i; or a hole
    this._summary = null;
    this.setCursor(0);
    this._redraw();
  }

  add(seconds) {
    for (const { start_s, end_s, label, confidence, probabilities } of seconds) {
      const shares = this.classes.map((name) => Number(probabilities[name]) || 0);
      const silent = label === SILENCE && shares.every((share) => share === shares[0]);
      this._rows[Math.round(start_s)] = { end_s, label, confidence, shares, silent };
    }
    this._redraw();
  }

  setCursor(second) {
    this.cursorS = Math.min(Math.max(0, second), this._spanS());
    this._showCursor();
  }

  setSummary(summary) {
    this._summary = summary;
    this._redraw();
  }

  at(second) {
    const isLast = second >= this._rows.length - 1 && second <= this._endS(); // it may last longer than a second
    const start_s = isLast ? this._rows.length - 1 : Math.floor(second);
    const row = this._rows[start_s];
    if (!row) return null;
    const { end_s, label, confidence, shares } = row;
    return { start_s, end_s, label, confidence, probabilities: this.classes.map((name, i) => [name, shares[i]]) };
  }

  overall() {
    if (this._summary) return this.classes.map((name) => [name, this._summary.overall[name]]);
    const means = meanOf(this._rows, 0, this._rows.length, this.classes.length);
    const nothing = this._rows.length ? 1 / this.classes.length : NaN; // there is silence alone, or not even that
    return this.classes.map((name, i) => [name, means ? means[i] : nothing]);
  }

  dominant() {
    if (this._summary) return this._summary.dominant;
    const means = this.overall().map(([, mean]) => mean);
    if (this._rows.length && this._rows.every((row) => row.silent)) return SILENCE;
    return this._rows.length ? this.classes[indexOfHighest(means)] : null;
  }

  /** Where the known seconds end. */
  _endS() {
    return this._rows.at(-1)?.end_s ?? 0;
  }

  /** How many seconds the axis covers. While the duration is unknown it grows by steps, not with each second. */
  _spanS() {
    return this.durationS ?? Math.max(30, STEPS_S.find((step) => step >= this._endS() * 1.1) ?? this._endS() * 1.5);
  }

  _makeSlider() {
    const slider = make("div", "timeline-slider");
    slider.tabIndex = 0;
    slider.setAttribute("role", "slider");
    slider.setAttribute("aria-label", "time");
    slider.setAttribute("aria-valuemin", "0");
    this._cursorLine = make("div", "timeline-cursor");
    this._hoverLine = make("div", "timeline-hover");
    this._hoverLine.hidden = true;
    slider.append(this._hoverLine, this._cursorLine);

    const secondAt = (event) => {
      const box = slider.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      return Math.min(Math.max(0, share), 1) * this._spanS();
    };
    let dragging = false;
    slider.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      dragging = true;
      slider.setPointerCapture(event.pointerId);
      this._seek(secondAt(event));
    });
    slider.addEventListener("pointermove", (event) => {
      if (dragging) this._seek(secondAt(event));
      this._hover(dragging || event.pointerType === "touch" ? null : secondAt(event));
    });
    for (const end of ["pointerup", "pointercancel"]) slider.addEventListener(end, () => (dragging = false));
    slider.addEventListener("pointerleave", () => this._hover(null));
    slider.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = KEYS_S[event.key];
      if (step) this._seek(this.cursorS + (event.shiftKey ? Math.sign(step) * 10 : step));
      else if (event.key === "Home") this._seek(0);
      else if (event.key === "End") this._seek(this._spanS());
      else return;
      event.preventDefault();
    });
    return slider;
  }

  _seek(second) {
    this.setCursor(second);
    this.onSeek(this.cursorS);
  }

  _hover(second) {
    this._hoverS = second;
    this._showCursor();
  }

  /** Update what depends on the cursor and the pointer: two lines, a column of numbers, the slider's text. */
  _showCursor() {
    const span = this._spanS();
    const left = (second) => `${(100 * second) / span}%`;
    this._cursorLine.style.left = left(this.cursorS);
    this._hoverLine.hidden = this._hoverS === null;
    if (this._hoverS !== null) this._hoverLine.style.left = left(this._hoverS);
    const shownS = this._hoverS ?? this.cursorS;
    const shown = this.at(shownS);
    setText(this._atHead, formatTime(shownS));
    this._lanes.forEach((lane, i) => {
      setText(lane.at, percent(shown && !this._isSilentAt(shown) ? shown.probabilities[i][1] : NaN));
      lane.at.classList.toggle("timeline-won", shown?.label === this.classes[i]);
    });
    const current = this.at(this.cursorS);
    const known = current && (this._isSilentAt(current) ? SILENCE : `${current.label} ${percent(current.confidence)}`);
    const spoken = known ?? "not recognized yet";
    this._slider.setAttribute("aria-valuemax", String(span));
    this._slider.setAttribute("aria-valuenow", String(Math.floor(this.cursorS)));
    this._slider.setAttribute("aria-valuetext", `${formatTime(this.cursorS)}, ${spoken}`);
  }

  _isSilentAt({ start_s }) {
    return this._rows[start_s].silent;
  }

  /** Draw everything before the next frame, once, however often this is called. */
  _redraw() {
    this._frame ||= requestAnimationFrame(() => {
      this._frame = 0;
      this._draw();
    });
  }

  _draw() {
    const span = this._spanS();
    const width = this._axis.clientWidth;
    const columnS = stepOf(span, Math.min(MOST_COLUMNS, Math.max(200, width)));
    const columns = this._columns(columnS);
    const gap = columns.length && width / (span / columnS) >= 6 ? 0.12 * columnS : 0; // room between two columns
    const silent = columns.filter((column) => column.silent);
    const dominant = this.dominant();
    this.overall().forEach(([name, mean], i) => {
      const lane = this._lanes[i];
      const bar = (column, height) => {
        const right = Math.max(column.end_s - gap, column.start_s + (column.end_s - column.start_s) / 2);
        return `M${column.start_s} 1V${1 - height}H${right}V1Z`;
      };
      const won = columns.filter((column) => column.winner === i);
      const lost = columns.filter((column) => column.winner !== i && !column.silent);
      lane.plot.setAttribute("viewBox", `0 0 ${span} 1`);
      lane.known.setAttribute("d", columns.map((c) => `M${c.start_s} 0H${c.end_s}V1H${c.start_s}Z`).join(""));
      lane.tint.setAttribute("d", won.map((c) => `M${c.start_s} 0H${c.end_s}V1H${c.start_s}Z`).join(""));
      lane.silent.setAttribute("d", silent.map((c) => `M${c.start_s} 0H${c.end_s}V1H${c.start_s}Z`).join(""));
      lane.bars.setAttribute("d", lost.map((c) => bar(c, c.shares[i])).join(""));
      lane.winner.setAttribute("d", won.map((c) => bar(c, c.shares[i])).join(""));
      setText(lane.mean, percent(mean));
      for (const cell of [lane.name, lane.mean]) cell.classList.toggle("timeline-won", name === dominant);
    });
    this._drawAxis(span, width);
    const length = columnS < 60 ? `${columnS} s` : `${columnS / 60} min`;
    const column = columnS === 1 ? "a second" : `the mean of ${length}`;
    const shaded = silent.length ? ", shaded in silence" : "";
    setText(this._key, `A column is ${column}: its height is the probability, in the strong colour where it wins${shaded}.`);
    this._showCursor();
  }

  /** What to draw: [{ start_s, end_s, shares, winner }], each column the mean of `columnS` seconds. */
  _columns(columnS) {
    const columns = [];
    for (let start_s = 0; start_s < this._rows.length; start_s += columnS) {
      const stop = Math.min(start_s + columnS, this._rows.length);
      const shares = meanOf(this._rows, start_s, stop, this.classes.length);
      const end_s = this._rows[stop - 1]?.end_s ?? stop;
      if (shares) {
        const winner = columnS === 1 ? this.classes.indexOf(this._rows[start_s].label) : indexOfHighest(shares);
        columns.push({ start_s, end_s, shares, winner, silent: false });
      } else if (this._rows.slice(start_s, stop).some((row) => row)) {
        columns.push({ start_s, end_s, shares: [], winner: -1, silent: true });
      }
    }
    return columns;
  }

  /** Ticks at round times, as many as there is room for. */
  _drawAxis(span, width) {
    const hours = span >= 3600;
    const step = stepOf(span, Math.max(1, Math.floor(width / (hours ? 80 : 60))));
    const ticks = [];
    for (let second = 0; second <= span; second += step) {
      const tick = make("span", "timeline-tick", formatTime(second, hours));
      tick.style.left = `${(100 * second) / span}%`;
      ticks.push(tick);
    }
    this._axis.replaceChildren(...ticks);
  }
}

function makeLane(name) {
  const plot = document.createElementNS(SVG, "svg");
  plot.setAttribute("class", "timeline-plot");
  plot.setAttribute("preserveAspectRatio", "none");
  plot.setAttribute("aria-hidden", "true");
  const layers = {};
  for (const layer of ["known", "tint", "silent", "bars", "winner"]) {
    layers[layer] = document.createElementNS(SVG, "path");
    layers[layer].setAttribute("class", `timeline-${layer}`);
    plot.append(layers[layer]);
  }
  const cells = { name: make("div", "timeline-name", name), mean: make("div", "timeline-mean") };
  return { ...cells, at: make("div", "timeline-at"), plot, ...layers };
}

/** Each class's mean over the rows with sound from `start` to before `stop`, weighted by their lengths, or null. */
function meanOf(rows, start, stop, nClasses) {
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
function indexOfHighest(numbers) {
  return numbers.indexOf(Math.max(...numbers));
}

/** The smallest round step, in seconds, of which `count` cover the duration. */
function stepOf(durationS, count) {
  return STEPS_S.find((step) => step * count >= durationS) ?? STEPS_S.at(-1);
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Set a text only where it changes, to avoid needless layout. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
