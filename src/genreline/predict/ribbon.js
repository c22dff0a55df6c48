/* The ribbon: a sound's outline, each second in the colour and pattern of its genre, and the genres' names above. */

import { PEAKS_PER_S } from "./outline.js";
import { fillFor, looksAt, UNKNOWN } from "./palette.js";

const [BAR, GAP] = [3, 1];

/**
 * Draw a ribbon into a canvas's context, from (0, 0) on.
 *
 * Args: width and height, in the page's pixels, of which one is `ratio` of the canvas's; `fromS` and `spanS`, what it
 * shows; `runs`, in order, each with start_s, end_s and label, which may be several, `piano|voice`; `peaks`,
 * PEAKS_PER_S for each second, holes where they are not known; `looks`, as of `looksOf`; `name`, how a label is
 * written above its run, or null to write none; `marks`, pairs of seconds between which the ground is lighter, with a
 * white line at its foot.
 */
export function drawRibbon(context, { width, height, ratio, fromS, spanS, runs, peaks, looks, name = null, marks = [] }) {
  const top = name ? 22 : 0;
  const band = height >= 60 ? 9 : 4; // it shows the genre where the sound is too quiet to
  const wave = height - top - band - 3;
  const xAt = (second) => ((second - fromS) / spanS) * width;
  const shown = runs.filter((run) => run.end_s > fromS && run.start_s < fromS + spanS);
  const shape = waveShape(width, wave, top, fromS, spanS, peaks);
  shape.rect(0, height - band, width, band);
  drawMarks(context, marks, xAt, top, height - band - 3);
  context.save();
  context.clip(shape);
  context.fillStyle = UNKNOWN.colour;
  context.fillRect(0, 0, width, height);
  for (const run of shown) {
    const [left, right] = [Math.max(0, xAt(run.start_s)), Math.min(width, xAt(run.end_s))];
    const parts = looksAt(run.label, looks); // one below the other, in the wave and again at its foot
    for (const [from, size] of [[0, height - band], [height - band, band]]) {
      parts.forEach((look, i) => {
        context.fillStyle = fillFor(context, look, ratio);
        context.fillRect(left, from + (i * size) / parts.length, right - left, size / parts.length);
      });
    }
  }
  context.restore();
  if (name) drawNames(context, shown, xAt, width, name);
}

/** Consecutive seconds with one label; `rows` may have holes. The label of row i is `labelOf(row)`. */
export function runsOf(rows, labelOf) {
  const runs = [];
  rows.forEach((row, start_s) => { // which passes over holes
    const [label, last] = [labelOf(row), runs.at(-1)];
    if (last?.label === label && last.end_s === start_s) last.end_s = row.end_s;
    else runs.push({ start_s, end_s: row.end_s, label });
  });
  return runs;
}

function waveShape(width, height, top, fromS, spanS, peaks) {
  const shape = new Path2D();
  const loudest = peaks.reduce((most, peak) => Math.max(most, peak || 0), 0.05); // too many to be arguments
  const nothing = peaks.length ? 0 : 0.35 * loudest; // a timeline without its sound is a plain ribbon
  const indexAt = (x) => (fromS + (x / width) * spanS) * PEAKS_PER_S;
  for (let x = 0; x < width; x += BAR + GAP) {
    const from = Math.floor(indexAt(x));
    const to = Math.max(from + 1, Math.floor(indexAt(x + BAR + GAP)));
    let peak = nothing;
    for (let i = from; i < to && i < peaks.length; i++) peak = Math.max(peak, peaks[i] || 0);
    const size = Math.max(2, (peak / loudest) * height);
    shape.roundRect(x, top + (height - size) / 2, BAR, size, 1.5);
  }
  return shape;
}

function drawMarks(context, marks, xAt, top, foot) {
  for (const [start_s, end_s] of marks) {
    const [left, width] = [xAt(start_s), xAt(end_s) - xAt(start_s)];
    context.fillStyle = "#39424e";
    context.fillRect(left, top, width, foot - top);
    context.fillStyle = "#fff";
    context.fillRect(left, foot, width, 2);
  }
}

function drawNames(context, runs, xAt, width, name) {
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.fillStyle = "#e8ebee";
  let free = 0; // where the last name ends
  for (const run of runs) {
    const text = name(run.label);
    const left = Math.max(xAt(run.start_s), 0) + 8;
    const needed = context.measureText(text).width;
    if (left < free || left + needed > Math.min(xAt(run.end_s), width) - 3) continue;
    context.fillText(text, left, 11);
    free = left + needed + 5;
  }
}
