/* The genre timeline in a browser: a ribbon (the sound's outline, each second in its genre's colour and pattern), and
 * below it, on demand, the probabilities in a lane for each genre. Both have one scale and one cursor.
 *
 * Labels, runs and means come from timeline.py, not from here. It has no dependencies but the files beside it, needs
 * timeline.css (whose custom properties hold the colours, the page's ground too: --timeline-page), and works under a
 * Content-Security-Policy without 'unsafe-inline'. Titles and class names may be hostile: every text goes in as
 * textContent, or onto a canvas.
 *
 *   import { Timeline } from "./timeline.js";
 *
 *   const view = new Timeline(element, {
 *     classes: ["blues", "jazz"],   // or later, by setClasses
 *     durationS: 213.4,             // or null: the time axis grows with the data until setDuration
 *     onSeek: (second) => {},       // click, drag or keys chose a time; the view's cursor is there already
 *     onWindow: (fromS, windowS) => {},   // it was zoomed or scrolled
 *     words: WORDS,                 // of words.js, or others
 *   });
 *   view.add([{ start_s: 0, end_s: 1, label: "jazz", confidence: 0.8, probabilities: { blues: 0.2, jazz: 0.8 } }]);
 *                                   // as in Timeline.to_dict(), with `peaks` or not, with several labels (`a|b`) or not;
 *                                   // any number at a time; a second that is added again is replaced
 *   view.setPeaks(peaks);           // the outline of all of the sound, PEAKS_PER_S for each second
 *   view.setCursor(12.5);           // draws the cursor there; does not call onSeek
 *   view.setDuration(213.4);        // seconds, or null
 *   view.setClasses([...]);         // from top to bottom; drops all seconds
 *   view.clear();                   // drops all seconds and peaks, shows everything, and goes back to 0
 *   view.at(12.5);                  // { start_s, end_s, label, confidence, probabilities: [[name, share], ...] }, or null
 *   view.setSummary({ overall, dominant });   // of the complete song, as in Timeline.to_dict(): shown from now on
 *   view.overall();                 // [[name, mean probability over time], ...] in class order: the summary's, or
 *                                   // before there is one, that of the seconds so far; NaN without seconds
 *   view.dominant();                // the summary's, or the name with the highest mean so far; null without seconds
 *   view.songLabels();              // the labels of the whole song, which are several of a multi-label model
 *   view.setRaw(true);              // show each second's label as of it alone (label_raw), where there is one
 *   view.showLanes(true);           // the probabilities
 *   view.zoom(2, 12.5);             // shows half as many seconds, with that second where it is
 *   view.setWindow(12.5, 30);       // shows half a minute from there on, or everything with null; does not call onWindow
 *   view.setMarks([[3, 4]]);        // a lighter ground, from second to second
 *   view.runs();                    // the runs that the ribbon shows: [{ start_s, end_s, label, confidence }, ...]
 *   view.cursorS, view.durationS, view.classes, view.looks, view.peaks, view.hasRaw, view.window
 *
 * A click or a drag seeks; so do the arrow keys: left and right by 1 s, up and down (or with Shift) by 10 s; Home, End.
 * The keys + and -, and the wheel with Ctrl, zoom; the wheel sideways, or with Shift, scrolls.
 */

import { indexOfHighest, Lanes, make, meanOf, setText, stepOf } from "./lanes.js";
import { PEAKS_PER_S } from "./outline.js";
import { looksAt, looksOf, swatch } from "./palette.js";
import { drawRibbon, runsOf } from "./ribbon.js";
import { formatTime, inWords, percent, SILENCE, songLabels, WORDS } from "./words.js";

const KEYS_S = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -10, ArrowUp: 10, PageDown: -10, PageUp: 10 };
const SPANS_S = [30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200]; // of the axis while the end is unknown
const LEAST_S = 10; // in sight, when zoomed in as far as possible

export class Timeline {
  constructor(
    element,
    { classes = [], durationS = null, onSeek = () => {}, onWindow = () => {}, words = WORDS, lanes = true } = {},
  ) {
    Object.assign(this, { onSeek, onWindow });
    this.durationS = durationS;
    this.cursorS = 0;
    this._words = words;
    this._raw = false;
    this._hoverS = null;
    this._frame = 0;
    this._grid = make("div", "timeline-grid");
    this._key = make("p", "timeline-key timeline-lane");
    this._ribbon = make("canvas", "timeline-ribbon");
    this._ribbon.setAttribute("aria-hidden", "true");
    this._axis = make("div", "timeline-axis");
    this._axis.setAttribute("aria-hidden", "true");
    this._slider = this._makeSlider();
    this._root = make("div", "timeline");
    this._root.setAttribute("role", "group");
    this._root.setAttribute("aria-label", words.timeline);
    this._root.append(this._makeTools(), this._grid, this._key);
    element.replaceChildren(this._root);
    this.showLanes(lanes);
    this.setClasses(classes);
    new ResizeObserver(() => this._redraw()).observe(this._root);
  }

  setClasses(classes) {
    this.classes = [...classes];
    this.looks = looksOf(this.classes);
    this._lanes = new Lanes(this.classes, this._words);
    this._grid.replaceChildren(this._ribbon, this._axis, ...this._lanes.cells, this._slider);
    this.clear();
  }

  setDuration(durationS) {
    this.durationS = durationS;
    this._redraw();
  }

  clear() {
    this._rows = []; // row i: the second that starts at i, { end_s, label, confidence, ... }; or a hole
    this.peaks = [];
    this.hasRaw = false;
    this._isMultiLabel = false; // as far as the seconds tell; a summary says it
    this._hasAllPeaks = false;
    this._summary = null;
    this._marks = [];
    this._fromS = 0;
    this._windowS = null; // how many seconds are in sight, or null for all
    this.setCursor(0);
    this._redraw();
  }

  add(seconds) {
    for (const { start_s, end_s, label, confidence, probabilities, peaks, ...raw } of seconds) {
      const shares = this.classes.map((name) => Number(probabilities[name]) || 0);
      const silent = label === SILENCE && shares.every((share) => share === shares[0]);
      const rawLabel = raw.label_raw ?? label;
      const rawConfidence = raw.confidence_raw ?? confidence;
      const second = Math.round(start_s);
      this._rows[second] = { end_s, label, confidence, shares, silent, rawLabel, rawConfidence };
      this.hasRaw ||= Boolean(raw.label_raw);
      this._isMultiLabel ||= !this.looks.has(label);
      if (!this._hasAllPeaks) peaks?.forEach((peak, i) => (this.peaks[second * PEAKS_PER_S + i] = peak));
    }
    this._redraw();
  }

  setPeaks(peaks) {
    this.peaks = Array.from(peaks);
    this._hasAllPeaks = true;
    this._redraw();
  }

  setCursor(second) {
    this.cursorS = Math.min(Math.max(0, second), this._endOfAxisS());
    if (this._windowS) {
      const before = this.cursorS - this._fromS;
      if (before < 0 || before > this._windowS) this._scrollTo(this.cursorS - 0.1 * this._windowS);
    }
    this._showCursor();
  }

  setMarks(spans) {
    this._marks = spans;
    this._redraw();
  }

  get window() {
    return [this._fromS, this._windowS];
  }

  setWindow(fromS, windowS) {
    this._windowS = windowS;
    this._fromS = this._bounded(fromS);
    this._redraw();
  }

  setSummary(summary) {
    this._summary = summary;
    this._redraw();
  }

  setRaw(raw) {
    this._raw = raw;
    this._redraw();
  }

  showLanes(shown) {
    this._root.classList.toggle("timeline-closed", !shown);
    this._redraw();
  }

  /** Show fewer seconds (a factor of more than 1) or more, with a second where it is. */
  zoom(factor, aroundS = this.cursorS) {
    const share = (aroundS - this._fromS) / this._spanS();
    const windowS = Math.max(this._spanS() / factor, Math.min(LEAST_S, this._endOfAxisS()));
    this._windowS = windowS < this._endOfAxisS() * 0.999 ? windowS : null;
    this._scrollTo(aroundS - share * this._spanS());
  }

  at(second) {
    const isLast = second >= this._rows.length - 1 && second <= this._endS(); // it may last longer than a second
    const start_s = isLast ? this._rows.length - 1 : Math.floor(second);
    const row = this._rows[start_s];
    if (!row) return null;
    const probabilities = this.classes.map((name, i) => [name, row.shares[i]]);
    return { start_s, end_s: row.end_s, label: this._label(row), confidence: this._confidence(row), probabilities };
  }

  runs() {
    return runsOf(this._rows, (row) => this._label(row)).map((run) => {
      const rows = this._rows.slice(run.start_s, run.end_s);
      const lengthsS = rows.map((row, i) => row.end_s - run.start_s - i);
      const sum = rows.reduce((total, row, i) => total + this._confidence(row) * lengthsS[i], 0);
      return { ...run, confidence: sum / (run.end_s - run.start_s) };
    });
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

  songLabels() {
    return this._summary ? songLabels(this._summary) : [this.dominant()];
  }

  _label(row) {
    return this._raw ? row.rawLabel : row.label;
  }

  _confidence(row) {
    return this._raw ? row.rawConfidence : row.confidence;
  }

  /** Where the known seconds end. */
  _endS() {
    return this._rows.at(-1)?.end_s ?? 0;
  }

  /** Where the axis ends. While the duration is unknown it grows by steps, not with each second. */
  _endOfAxisS() {
    return this.durationS ?? Math.max(30, SPANS_S.find((span) => span >= this._endS() * 1.1) ?? this._endS() * 1.5);
  }

  /** How many seconds are in sight. */
  _spanS() {
    return this._windowS ?? this._endOfAxisS();
  }

  /** A start of what is in sight, from 0 to where the end is in sight. */
  _bounded(fromS) {
    return Math.min(Math.max(0, fromS), this._endOfAxisS() - this._spanS());
  }

  _scrollTo(fromS) {
    this._fromS = this._bounded(fromS);
    this._redraw();
    this.onWindow(this._fromS, this._windowS);
  }

  _makeTools() {
    const tools = make("div", "timeline-tools");
    this._readout = make("p", "timeline-readout");
    const zoomOf = (text, label, factor) => {
      const button = make("button", "timeline-zoom", text);
      button.type = "button";
      button.setAttribute("aria-label", label);
      button.addEventListener("click", () => this.zoom(factor));
      return button;
    };
    this._scroll = make("input", "timeline-scroll");
    this._scroll.type = "range";
    this._scroll.step = "any";
    this._scroll.setAttribute("aria-label", this._words.scroll);
    this._scroll.addEventListener("input", () => this._scrollTo(Number(this._scroll.value)));
    this._zoomOut = zoomOf("\u2212", this._words.zoomOut, 0.5);
    this._zoomIn = zoomOf("+", this._words.zoomIn, 2);
    tools.append(this._readout, this._scroll, this._zoomOut, this._zoomIn);
    return tools;
  }

  _makeSlider() {
    const slider = make("div", "timeline-slider");
    slider.tabIndex = 0;
    slider.setAttribute("role", "slider");
    slider.setAttribute("aria-label", this._words.time);
    slider.setAttribute("aria-valuemin", "0");
    this._cursorLine = make("div", "timeline-cursor");
    this._hoverLine = make("div", "timeline-hover");
    this._hoverLine.hidden = true;
    slider.append(this._hoverLine, this._cursorLine);

    const secondAt = (event) => {
      const box = slider.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      return this._fromS + Math.min(Math.max(0, share), 1) * this._spanS();
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
    slider.addEventListener("wheel", (event) => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (event.ctrlKey) this.zoom(Math.exp(-event.deltaY / 300), secondAt(event));
      else if (this._windowS && sideways) this._scrollTo(this._fromS + (sideways / slider.clientWidth) * this._windowS);
      else return;
      event.preventDefault();
    }, { passive: false });
    slider.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = KEYS_S[event.key];
      if (step) this._seek(this.cursorS + (event.shiftKey ? Math.sign(step) * 10 : step));
      else if (event.key === "Home") this._seek(0);
      else if (event.key === "End") this._seek(this._endOfAxisS());
      else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 2 : 0.5);
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

  /** Update what depends on the cursor and the pointer: two lines, the numbers of a second, the slider's text. */
  _showCursor() {
    const share = (second) => (second - this._fromS) / this._spanS();
    const place = (line, second) => {
      line.hidden = second === null || share(second) < 0 || share(second) > 1;
      line.style.left = `${100 * share(second ?? 0)}%`;
    };
    place(this._cursorLine, this.cursorS);
    place(this._hoverLine, this._hoverS);
    const shownS = this._hoverS ?? this.cursorS;
    const shown = this.at(shownS);
    const silent = shown && this._rows[shown.start_s].silent;
    this._lanes.showSecond(shownS, shown && !silent ? shown.probabilities.map(([, each]) => each) : null, shown?.label);
    this._showReadout(shownS, shown);
    this._slider.setAttribute("aria-valuemax", String(this._endOfAxisS()));
    this._slider.setAttribute("aria-valuenow", String(Math.floor(this.cursorS)));
    const spoken = this._inWords(this.at(this.cursorS));
    this._slider.setAttribute("aria-valuetext", `${formatTime(this.cursorS)}, ${spoken}`);
  }

  _showReadout(second, shown) {
    const text = `${formatTime(second)}  ${this._inWords(shown)}`;
    if (this._readout.textContent === text) return;
    this._readout.replaceChildren(...(shown ? looksAt(shown.label, this.looks).map(swatch) : []), text);
  }

  _inWords(shown) {
    if (!shown) return this._words.unknown;
    const label = inWords(shown.label, this._words);
    const hasOne = this.looks.has(shown.label) && shown.label !== SILENCE;
    return hasOne ? `${label} ${percent(shown.confidence)}` : label;
  }

  /** Draw everything before the next frame, once, however often this is called. */
  _redraw() {
    this._frame ||= requestAnimationFrame(() => {
      this._frame = 0;
      this._draw();
    });
  }

  _draw() {
    this._fromS = this._bounded(this._fromS);
    const [fromS, spanS, width] = [this._fromS, this._spanS(), this._axis.clientWidth];
    this._drawRibbon(fromS, spanS);
    this._drawAxis(fromS, spanS, width);
    const means = this.overall().map(([, mean]) => mean);
    const isMultiLabel = this._isMultiLabel || Boolean(this._summary?.thresholds);
    const lanes = { rows: this._rows, fromS, spanS, width, means, songLabels: this.songLabels(), isMultiLabel };
    setText(this._key, this._lanes.draw(lanes));
    const hidden = this._endOfAxisS() - spanS;
    this._scroll.hidden = !this._windowS;
    this._scroll.max = String(hidden);
    this._scroll.value = String(fromS);
    this._scroll.style.setProperty("--timeline-thumb", `${Math.max(8, (100 * spanS) / this._endOfAxisS())}%`);
    this._zoomOut.disabled = !this._windowS;
    this._zoomIn.disabled = spanS <= LEAST_S;
    this._showCursor();
  }

  _drawRibbon(fromS, spanS) {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [this._ribbon.clientWidth, this._ribbon.clientHeight];
    if (!width) return;
    [this._ribbon.width, this._ribbon.height] = [width * ratio, height * ratio];
    const context = this._ribbon.getContext("2d");
    context.scale(ratio, ratio);
    const runs = runsOf(this._rows, (row) => this._label(row));
    const name = (label) => inWords(label, this._words);
    const [peaks, looks, marks] = [this.peaks, this.looks, this._marks];
    drawRibbon(context, { width, height, ratio, fromS, spanS, runs, peaks, looks, name, marks });
  }

  /** Ticks at round times, as many as there is room for. */
  _drawAxis(fromS, spanS, width) {
    const hours = this._endOfAxisS() >= 3600;
    const step = stepOf(spanS, Math.max(1, Math.floor(width / (hours ? 80 : 60))));
    const ticks = [];
    for (let second = Math.ceil(fromS / step) * step; second <= fromS + spanS; second += step) {
      const tick = make("span", "timeline-tick", formatTime(second, hours));
      tick.classList.toggle("timeline-tick-first", second === fromS);
      tick.classList.toggle("timeline-tick-last", ((fromS + spanS - second) / spanS) * width < (hours ? 30 : 18));
      tick.style.left = `${(100 * (second - fromS)) / spanS}%`;
      ticks.push(tick);
    }
    this._axis.replaceChildren(...ticks);
  }
}
