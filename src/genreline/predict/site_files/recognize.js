/* What stands before and after the graph, as audio/decode.py, audio/seconds.py, predict/context.py and timeline.py have
 * it: a file as a waveform, silence, a second's neighbours, means, runs and the verdict. */

import { reaches, SILENCE } from "./words.js";

const CANCELLED = 0.01; // of the channels' energy: an average with less is no longer the sound
const CLEARLY = 2; // so much more energy lets a channel take another's place: changes back and forth would click
const FINER = 6; // browsers decode to this many times the model's rate
const CUTOFF = 0.4785; // of the new rate, where soxr's slope is half way down
const HALF_TAPS = 480; // 10 ms each way: a slope as steep as soxr's, within 0.012 of its gain

/** A file as mono samples at `rateHz`: the channels' average or, where they cancel in it, the loudest. */
export async function decode(bytes, rateHz) {
  const fineHz = FINER * rateHz;
  const sound = await new OfflineAudioContext(1, 1, fineHz).decodeAudioData(bytes); // which resamples to its own rate
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  return resample(channels.length === 1 ? channels[0] : mix(channels, fineHz / 10), rateHz);
}

function mix(channels, tenth) {
  const waveform = new Float32Array(channels[0].length);
  for (const channel of channels) channel.forEach((sample, i) => (waveform[i] += sample / channels.length));
  let channel = -1; // none takes the average's place
  for (let start = 0; start < waveform.length; start += tenth) {
    const cut = (samples) => samples.subarray(start, start + tenth);
    const energies = channels.map((channel) => energyOf(cut(channel)));
    const all = energies.reduce((sum, energy) => sum + energy);
    if (energyOf(cut(waveform)) >= (CANCELLED * all) / channels.length) {
      channel = -1;
      continue;
    }
    const highest = Math.max(...energies);
    if (channel < 0 || energies[channel] < highest / CLEARLY) channel = energies.indexOf(highest);
    waveform.set(cut(channels[channel]), start);
  }
  return waveform;
}

/** From `FINER * rateHz` to `rateHz`: what lies above the new Nyquist frequency is filtered out, then samples are left out.
 *
 * A browser resamples straight to 8 kHz with so few taps that some of the highest octave is lost, and labels change.
 */
async function resample(waveform, rateHz) {
  const fineHz = FINER * rateHz;
  const taps = lowPass(CUTOFF * rateHz / fineHz, HALF_TAPS);
  const context = new OfflineAudioContext(1, waveform.length + HALF_TAPS, fineHz);
  const source = new AudioBufferSourceNode(context, { buffer: bufferOf(waveform, fineHz) });
  const filter = new ConvolverNode(context, { buffer: bufferOf(taps, fineHz), disableNormalization: true });
  source.connect(filter).connect(context.destination);
  source.start();
  const filtered = (await context.startRendering()).getChannelData(0).subarray(HALF_TAPS); // the filter's delay
  return Float32Array.from({ length: Math.ceil(waveform.length / FINER) }, (_, i) => filtered[i * FINER]);
}

/** A low pass of 2 `half` + 1 taps with `cutoff` in cycles a sample: a sinc under a Blackman window, whose sum is 1. */
function lowPass(cutoff, half) {
  const taps = Float32Array.from({ length: 2 * half + 1 }, (_, i) => {
    const x = 2 * Math.PI * cutoff * (i - half);
    const phase = (Math.PI * i) / half;
    return (x ? Math.sin(x) / x : 1) * (0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
  });
  const total = taps.reduce((sum, tap) => sum + tap);
  return taps.map((tap) => tap / total);
}

function bufferOf(samples, rateHz) {
  const buffer = new AudioBuffer({ length: samples.length, sampleRate: rateHz });
  buffer.copyToChannel(samples, 0);
  return buffer;
}

function energyOf(samples) {
  return samples.reduce((sum, sample) => sum + sample * sample, 0);
}

/** The highest absolute sample of each `step` samples: the sound's outline. */
export function peaksOf(waveform, step) {
  return Array.from({ length: Math.ceil(waveform.length / step) }, (_, i) => {
    return waveform.subarray(i * step, (i + 1) * step).reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
  });
}

/** Whether a second holds no sound: its RMS around its mean, without its ends, is below the model's bound. */
export function isSilent(second, { rate_hz, silence_rms, silence_ignores_samples: edge }) {
  const inner = second.length === rate_hz || second.length > 4 * edge ? second.subarray(edge, -edge) : second;
  const centre = inner.reduce((sum, sample) => sum + sample, 0) / inner.length;
  const variance = inner.reduce((sum, sample) => sum + (sample - centre) ** 2, 0) / inner.length;
  return Math.sqrt(variance) < silence_rms;
}

/** Each second's probabilities given all of the song: the forward-backward algorithm of context.py. */
export function smooth(alone, { stay, evidence }) {
  if (stay === null || !alone.some(Boolean)) return alone;
  const n = alone.find(Boolean).length;
  const change = (1 - stay) / Math.max(1, n - 1);
  const moved = (row) => row.map((share) => change * sumOf(row) + (stay - change) * share);
  const seen = alone.map((row) => Array.from({ length: n }, (_, k) => (row ? Math.max(row[k], 1e-6) ** evidence : 1)));
  const filtered = (rows) => {
    let now = Array(n).fill(1);
    return rows.map((row, i) => {
      if (i) now = moved(now);
      return (now = normalised(now.map((share, k) => share * row[k])));
    });
  };
  const before = filtered(seen);
  const after = filtered(seen.toReversed()).toReversed();
  return alone.map((row, i) => {
    const later = i + 1 < after.length ? moved(after[i + 1]) : Array(n).fill(1);
    return row && normalised(before[i].map((share, k) => share * later[k]));
  });
}

/** The rows of a timeline, as Timeline.to_dict() has them; `alone` are the probabilities before their neighbours. */
export function listSeconds(rows, alone, classes, durationS, thresholds) {
  return rows.map((row, i) => {
    const [label, confidence] = best(row, classes, thresholds);
    const [label_raw, confidence_raw] = best(alone[i], classes, thresholds);
    const shares = row ?? classes.map(() => (isMultiLabel(thresholds) ? 0 : 1 / classes.length));
    const probabilities = Object.fromEntries(classes.map((name, k) => [name, shares[k]]));
    const end_s = i + 1 < rows.length ? i + 1 : Math.max(i, durationS);
    return { start_s: i, end_s, label, confidence, label_raw, confidence_raw, probabilities };
  });
}

/** Each class's mean probability over time; silence does not count, unless there is nothing else. */
export function mean(seconds, classes) {
  const sounding = seconds.filter(({ label }) => label !== SILENCE);
  const counted = sounding.length ? sounding : seconds;
  const total = sumOf(counted.map(lengthOf));
  const meanOf = (name) => sumOf(counted.map((row) => lengthOf(row) * row.probabilities[name])) / total;
  return Object.fromEntries(classes.map((name) => [name, meanOf(name)]));
}

/** The dominant class of the song, and what to say of it; the margins are those of the model's calibration. */
export function verdictOf(seconds, overall, { unsure_margin, unsure_margins, thresholds }) {
  if (seconds.every(({ label }) => label === SILENCE)) return [SILENCE, SILENCE];
  const [first, second] = Object.entries(overall).sort(([, a], [, b]) => b - a);
  const words = ([name]) => name.replaceAll("_", " ");
  if (isMultiLabel(thresholds)) {
    const found = Object.entries(overall).filter(([name, mean]) => reaches(mean, thresholds[name]));
    return [first[0], found.map(words).join(", ") || "no label"];
  }
  const margin = Object.hasOwn(unsure_margins, first[0]) ? unsure_margins[first[0]] : unsure_margin;
  const isUnsure = second && first[1] - second[1] < margin;
  return [first[0], isUnsure ? `unsure between ${words(first)} and ${words(second)}` : words(first)];
}

/** The same columns as genreline's own CSV file has. */
export function toCsv(seconds, classes, thresholds) {
  const isMany = isMultiLabel(thresholds); // whose seconds stand alone
  const raw = isMany ? [] : ["label_raw", "confidence_raw"];
  const head = ["start_s", "end_s", isMany ? "labels" : "label", "confidence", ...raw, ...classes];
  const rows = seconds.map((row) => [
    ...[row.start_s, row.end_s, row.label, row.confidence.toFixed(4)],
    ...(isMany ? [] : [row.label_raw, row.confidence_raw.toFixed(4)]),
    ...classes.map((name) => row.probabilities[name].toFixed(4)),
  ]);
  const quoted = (cell) => (/[",\n\r]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : cell);
  return [head, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

/** Whether there are thresholds, by class: a second has every label that is at least so probable. */
export function isMultiLabel(thresholds) {
  return Object.keys(thresholds ?? {}).length > 0;
}

function best(row, classes, thresholds) {
  const isMany = isMultiLabel(thresholds);
  if (!row) return [SILENCE, isMany ? 0 : 1 / classes.length];
  const confidence = Math.max(...row);
  if (isMany) return [classes.filter((name, k) => reaches(row[k], thresholds[name])).join("|"), confidence];
  return [classes[row.indexOf(confidence)], confidence];
}

function lengthOf({ start_s, end_s }) {
  return end_s - start_s;
}

function normalised(row) {
  const total = sumOf(row);
  return row.map((share) => share / total);
}

function sumOf(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0);
}
