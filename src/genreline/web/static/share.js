/* A link that holds a timeline in its fragment, which browsers send to no server.
 *
 * The fragment is JSON, deflated, in base64url: probabilities as whole 63rds, labels as places among the classes (-1 is
 * silence; of a multi-label model, the sum of 2 ** place of each label), one peak a second. Who follows a link trusts
 * nobody: everything is bounded and checked before it is shown.
 */

import { hasLabel, meanOf } from "./lanes.js";
import { PEAKS_PER_S } from "./outline.js";
import { Problem } from "./service.js";
import { Song } from "./song.js";
import { stretchesOf } from "./stretches.js";
import { text } from "./strings.js";
import { SILENCE } from "./words.js";

const KEY = "#timeline=";
const VERSION = 1;
const STEPS = 63; // of a probability, and of a peak
const MOST = { letters: 32_000, bytes: 500_000, seconds: 7200, classes: 32, title: 200, name: 60 };

/** A fragment for the address of this page. Throws a Problem if the song is too long for an address. */
export async function fragmentOf(song) {
  const { title, model, duration_s, classes, unsure_margin, thresholds, overall } = song.timeline;
  const { seconds } = song.result;
  const place = (label) => classes.indexOf(label);
  const places = (label) => classes.reduce((sum, name, i) => sum + (hasLabel(label, name) ? 2 ** i : 0), 0);
  const inOrder = (byName) => classes.map((name) => byName[name]);
  const several = (label) => (label === SILENCE ? -1 : places(label));
  const shares = seconds.flatMap(({ probabilities }) => classes.map((name) => Math.round(STEPS * probabilities[name])));
  const hasRaw = seconds.every((second) => second.label_raw);
  const json = JSON.stringify({
    version: VERSION,
    title: title.slice(0, MOST.title),
    model,
    duration_s,
    unsure_margin,
    classes,
    ...(thresholds && { thresholds: inOrder(thresholds), means: inOrder(overall) }),
    labels: seconds.map((second) => (thresholds ? several : place)(second.label)),
    raw: hasRaw ? seconds.map((second) => [place(second.label_raw), Math.round(STEPS * second.confidence_raw)]) : [],
    shares,
    peaks: loudnessOf(song, seconds.length),
  });
  const stream = new Blob([json]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const letters = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const fragment = KEY + letters.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  if (fragment.length > MOST.letters) throw new Problem(text.tooLongToShare);
  return fragment;
}

/** The song that a fragment holds, or null if it holds none. Throws a Problem if it is damaged. */
export async function songIn(fragment) {
  if (!fragment.startsWith(KEY)) return null;
  try {
    return songOf(JSON.parse(await inflated(fragment.slice(KEY.length))));
  } catch (error) {
    throw new Problem(text.damagedLink, { cause: error });
  }
}

/** One peak a second, as a whole 63rd. */
function loudnessOf({ peaks, result }, nSeconds) {
  const all = peaks ? Array.from(peaks) : result.seconds.flatMap((second) => second.peaks ?? []);
  if (!all.length) return [];
  const highest = (i) => Math.max(0, ...all.slice(i * PEAKS_PER_S, (i + 1) * PEAKS_PER_S));
  return Array.from({ length: nSeconds }, (_, i) => Math.round(STEPS * Math.min(1, highest(i))));
}

async function inflated(letters) {
  check(letters.length <= MOST.letters && /^[\w-]*$/.test(letters));
  const bytes = Uint8Array.from(atob(letters.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const pieces = [];
  let size = 0;
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    size += read.value.length;
    check(size <= MOST.bytes); // a small fragment may hold a large nothing
    pieces.push(read.value);
  }
  return new Blob(pieces).text();
}

/** A song of what a fragment says, or an error if it makes no sense. */
function songOf(content) {
  const { version, title, model, duration_s, unsure_margin, thresholds, classes, labels, raw, shares, peaks } = content;
  const isText = (value, most) => typeof value === "string" && value.length <= most;
  const areWhole = (list, length, least, most) =>
    Array.isArray(list) && list.length === length && list.every((n) => Number.isInteger(n) && n >= least && n <= most);
  check(version === VERSION && isText(title, MOST.title) && isText(model, MOST.name));
  check(Array.isArray(classes) && classes.length > 0 && classes.length <= MOST.classes);
  check(classes.every((name) => isText(name, MOST.name)) && new Set([...classes, SILENCE]).size === classes.length + 1);
  const n = Array.isArray(labels) ? labels.length : 0;
  const isMultiLabel = thresholds !== undefined;
  const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1;
  const areShares = (list) => Array.isArray(list) && list.length === classes.length && list.every(isShare);
  check(!isMultiLabel || (areShares(thresholds) && areShares(content.means) && raw.length === 0));
  const mostPlace = (isMultiLabel ? 2 ** classes.length : classes.length) - 1;
  check(n > 0 && n <= MOST.seconds && areWhole(labels, n, -1, mostPlace));
  check(Number.isFinite(duration_s) && duration_s > n - 1 && duration_s < n + 0.25);
  check(isShare(unsure_margin) && areWhole(shares, n * classes.length, 0, STEPS));
  check(Array.isArray(raw) && [0, n].includes(raw.length) && Array.isArray(peaks) && [0, n].includes(peaks.length));
  check(areWhole(peaks, peaks.length, 0, STEPS));
  check(raw.every((each) => areWhole(each, 2, -1, STEPS) && each[0] < classes.length && each[1] >= 0));

  const namesIn = (sum) => classes.filter((_, i) => Math.floor(sum / 2 ** i) % 2).join("|");
  const nameOf = (place) => (place < 0 ? SILENCE : isMultiLabel ? namesIn(place) : classes[place]);
  const rowAt = (i) => shares.slice(i * classes.length, (i + 1) * classes.length);
  const rows = labels.map((place, i) => rowOf(rowAt(i), place < 0, isMultiLabel));
  rows.forEach((row, i) => (row.end_s = i < n - 1 ? i + 1 : duration_s));
  const seconds = rows.map((row, i) => ({
    start_s: i,
    end_s: row.end_s,
    label: nameOf(labels[i]),
    confidence: isMultiLabel || labels[i] < 0 ? Math.max(...row.shares) : row.shares[labels[i]],
    probabilities: Object.fromEntries(classes.map((name, c) => [name, row.shares[c]])),
    ...(raw.length && { label_raw: nameOf(raw[i][0]), confidence_raw: raw[i][1] / STEPS }),
    ...(peaks.length && { peaks: new Array(PEAKS_PER_S).fill(peaks[i] / STEPS) }),
  }));
  const rounded = meanOf(rows, 0, n, classes.length); // too coarse for thresholds
  const means = rounded && isMultiLabel ? content.means : rounded;
  const overall = Object.fromEntries(classes.map((name, c) => [name, means ? means[c] : 1 / classes.length]));
  const dominant = means ? classes[means.indexOf(Math.max(...means))] : SILENCE;
  const runs = stretchesOf(seconds, classes, isMultiLabel);
  const byName = isMultiLabel && { thresholds: Object.fromEntries(classes.map((name, c) => [name, thresholds[c]])) };
  const summary = { title, model, duration_s, unsure_margin, ...byName, classes, overall, dominant, runs };
  const song = new Song({ name: "", result: { model, classes, seconds, summary } });
  return Object.assign(song, { title, isShared: true });
}

function rowOf(steps, silent, isMultiLabel) {
  const sum = isMultiLabel ? STEPS : steps.reduce((total, step) => total + step, 0);
  check(sum > 0 || silent);
  return { silent, shares: steps.map((step) => (silent ? (isMultiLabel ? 0 : 1 / steps.length) : step / sum)) };
}

function check(isRight) {
  if (!isRight) throw new TypeError("not a timeline");
}
