/* The static page: a song is decoded, cut into seconds, recognized and drawn in this browser. */

import * as ort from "./ort.wasm.min.mjs";
import { PEAKS_PER_S } from "./outline.js";
import { listRuns } from "./runs.js";
import { stretchesOf } from "./stretches.js";
import { Timeline } from "./timeline.js";
import { percent } from "./words.js";
import {
  decode, isMultiLabel, isSilent, listSeconds, mean,
  peaksOf, smooth, toCsv, verdictOf,
} from "./recognize.js";

const BATCH_S = 16; // seconds between two looks of the page at its reader

const byId = (id) => document.getElementById(id);
const sound = byId("sound");
const view = new Timeline(byId("timeline"), { onSeek: (second) => (sound.currentTime = second) });
const ready = load();
let turn = 0; // of the latest song; an earlier one stops at the next batch
ready.catch((error) => complain(`The model cannot be loaded (${error.message}).`));

async function load() {
  ort.env.wasm.numThreads = 1; // several need headers that static hosts do not send
  const model = await (await fetch("settings.json")).json();
  const weights = { path: model.weights, data: model.weights };
  const session = await ort.InferenceSession.create(model.graph, { externalData: [weights] });
  return { ...model, session };
}

async function recognize(file, mine) {
  byId("trouble").hidden = true;
  byId("csv").hidden = true;
  byId("song").hidden = false;
  byId("title").textContent = file.name;
  byId("verdict").textContent = "";
  byId("runs").replaceChildren();
  byId("status").textContent = "Decoding …";
  URL.revokeObjectURL(sound.src);
  sound.src = URL.createObjectURL(file);
  const started_ms = performance.now();
  const model = await ready;
  view.setClasses(model.classes);
  view.setDuration(null);
  const waveform = await decode(await file.arrayBuffer(), model.rate_hz);
  if (mine !== turn) return;
  const durationS = waveform.length / model.rate_hz;
  view.setDuration(durationS);
  view.setPeaks(peaksOf(waveform, model.rate_hz / PEAKS_PER_S));

  const { thresholds } = model.calibration; // of a multi-label model
  const alone = []; // a second's probabilities, or null for silence
  const n = countRows(waveform.length, model);
  let first_ms = null;
  while (alone.length < n) {
    const batch = await predict(model, waveform, alone.length, Math.min(n, alone.length + BATCH_S));
    if (mine !== turn) return;
    alone.push(...batch);
    first_ms ??= performance.now() - started_ms;
    view.add(listSeconds(alone, alone, model.classes, durationS, thresholds).slice(-batch.length));
    byId("status").textContent = `${alone.length} of ${n} seconds …`;
    await new Promise((resolve) => setTimeout(resolve)); // the page draws, and answers its reader
  }

  const seconds = listSeconds(smooth(alone, model.calibration), alone, model.classes, durationS, thresholds);
  const overall = mean(seconds, model.classes);
  const runs = stretchesOf(seconds, model.classes, isMultiLabel(thresholds));
  const [dominant, verdict] = verdictOf(seconds, overall, model.calibration);
  view.add(seconds);
  const hasThresholds = isMultiLabel(thresholds);
  view.setSummary({ overall, dominant, ...(hasThresholds && { thresholds }) });
  listRuns(byId("runs"), runs, view.looks, (second) => (sound.currentTime = second));
  const hasShare = dominant in overall && !hasThresholds;
  byId("verdict").textContent = hasShare ? `${verdict} (${percent(overall[dominant])} on average)` : verdict;
  const csv = byId("csv");
  URL.revokeObjectURL(csv.href);
  csv.href = URL.createObjectURL(new Blob([toCsv(seconds, model.classes, thresholds)], { type: "text/csv" }));
  csv.download = `${file.name.replace(/\.[^.]*$/, "")}.csv`;
  csv.hidden = false;
  const [first_s, whole_s] = [first_ms, performance.now() - started_ms].map((ms) => (ms / 1000).toFixed(1));
  byId("status").textContent = `Recognized by ${model.name} in ${whole_s} s; the first seconds after ${first_s} s.`;
}

/** How many rows a song has: a last part that is too short for one extends the row before it. */
function countRows(nSamples, model) {
  const whole = Math.floor(nSamples / model.rate_hz);
  const rest = nSamples % model.rate_hz;
  return whole + (rest && (!whole || rest >= model.shortest_s * model.rate_hz) ? 1 : 0);
}

/** The probabilities of seconds first to end, of each alone; null for silence. */
async function predict(model, waveform, first, end) {
  const size = model.rate_hz;
  const rows = Array.from({ length: end - first }, (_, i) => waveform.subarray((first + i) * size, (first + i + 1) * size));
  const sounding = rows.flatMap((row, i) => (isSilent(row, model) ? [] : [i]));
  const found = rows.map(() => null);
  if (!sounding.length) return found;
  const input = new Float32Array(sounding.length * size); // zeros where a last second ends early
  sounding.forEach((row, i) => input.set(rows[row], i * size));
  const waveforms = new ort.Tensor("float32", input, [sounding.length, size]);
  const { probabilities } = await model.session.run({ waveform: waveforms }, ["probabilities"]);
  const nClasses = model.classes.length;
  sounding.forEach((row, i) => (found[row] = Array.from(probabilities.data.subarray(i * nClasses, (i + 1) * nClasses))));
  return found;
}

function complain(text) {
  byId("status").textContent = "";
  byId("trouble").textContent = text;
  byId("trouble").hidden = false;
}

async function tryFile(file) {
  const mine = ++turn;
  try {
    await recognize(file, mine);
  } catch (error) {
    if (mine === turn) complain(`${file.name} cannot be recognized here: ${error.message}`);
  }
}

byId("file").addEventListener("change", (event) => event.target.files[0] && tryFile(event.target.files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) tryFile(event.dataTransfer.files[0]);
});
for (const event of ["timeupdate", "seeking"]) sound.addEventListener(event, () => view.setCursor(sound.currentTime));
