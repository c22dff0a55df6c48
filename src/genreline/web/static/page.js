/* The page: choose a song, see it recognised, play it, and save its timeline. */

import { answered, ask, Problem, render, streamTimeline, withSound } from "./service.js";
import { recordWith } from "./recorder.js";
import { formatTime, listRuns, percent, Timeline } from "./timeline.js";
import { outline, Waveform } from "./waveform.js";

const byId = (id) => document.getElementById(id);
const FORMATS = { csv: "CSV", json: "JSON", txt: "Audacity labels", jams: "JAMS", png: "Picture (PNG)", html: "Player (HTML)" };

const audio = byId("audio");
const view = new Timeline(byId("timeline"), { onSeek: seek });
const waveform = new Waveform(byId("waveform"), seek);
const slider = document.querySelector(".timeline-slider");
waveform.alignTo(slider);

let limits = null;
let song = null; // { file or url, name, seconds, summary, decoded, abort } of what is shown
let choices = 0; // how many were made: what comes late for an earlier one is dropped

// Choosing ------------------------------------------------------------------------------------------------------------

async function prepare() {
  const [models, examples, bounds] = await Promise.all([ask("v1/models"), ask("v1/examples"), ask("v1/limits")]);
  limits = bounds;
  byId("model").replaceChildren(...models.map(({ name }) => new Option(name, name)));
  byId("model").value = models.find((model) => model.default).name;
  byId("example").append(...examples.map(({ name, title }) => new Option(title, name)));
  const minutes = Math.round(limits.max_duration_s / 60);
  byId("bounds").textContent = `Any common format, up to ${minutes} minutes and ${Math.round(limits.max_bytes / 1e6)} MB.`;
  byId("link").hidden = !limits.urls;
}

byId("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) open(file);
  event.target.value = ""; // so that the same file can be chosen again
});

for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", type === "dragenter" || type === "dragover");
    if (type === "drop" && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
}

byId("example").addEventListener("change", async ({ target }) => {
  if (!target.value) return;
  const title = target.selectedOptions[0].text.split(",")[0];
  const mine = ++choices;
  showStatus("Composing the example…");
  try {
    const sound = await (await answered(fetch(`v1/examples/${target.value}`))).blob();
    if (mine === choices) await open(new File([sound], `${title}.wav`, { type: "audio/wav" }));
  } catch (error) {
    if (mine === choices) showError(error);
  }
});

byId("link").addEventListener("submit", (event) => {
  event.preventDefault();
  openLink(byId("url").value);
});

recordWith(byId("record"), open, showStatus, (text) => showError(new Problem(text)));

byId("model").addEventListener("change", () => song && listen());

byId("about").addEventListener("click", async () => {
  try {
    const response = await answered(fetch(`v1/models/${byId("model").value}/card`));
    const card = new DOMParser().parseFromString(await response.text(), "text/html");
    byId("card-text").replaceChildren(...card.body.childNodes);
    byId("card").showModal();
  } catch (error) {
    showError(error);
  }
});

// Recognising ---------------------------------------------------------------------------------------------------------

async function open(file) {
  if (!limits) await ready; // a file was chosen before the service answered
  if (!limits) return;
  if (file.size > limits.max_bytes) {
    showError(new Problem(`${file.name}: is larger than the ${limits.max_bytes / 1e6} MB that are taken here`));
    return;
  }
  show({ file, name: file.name });
  URL.revokeObjectURL(audio.src);
  audio.src = URL.createObjectURL(file);
  const opened = song;
  outline(file).then((peaks) => {
    if (!peaks || song !== opened) return;
    song.decoded = true;
    waveform.setPeaks(peaks);
  });
  await listen();
}

async function openLink(url) {
  show({ url, name: url });
  URL.revokeObjectURL(audio.src);
  audio.removeAttribute("src");
  audio.load();
  showUnplayable("The service fetches and recognises a song from a link; there is nothing to play here.");
  await listen();
}

function show(chosen) {
  choices++;
  song?.abort?.abort();
  song = { ...chosen, seconds: [], summary: null, decoded: false };
  setTitle(chosen.name.replace(/\.[^.]*$/, ""));
  audio.currentTime = 0; // the last song's may have been set to a later one
  audio.hidden = false;
  byId("unplayable").hidden = true;
  waveform.clear();
  view.clear();
  setDuration(null);
}

async function listen() {
  song.abort?.abort();
  const mine = (song.abort = new AbortController());
  const { signal } = mine;
  song.seconds = [];
  song.summary = null;
  byId("song").hidden = false;
  byId("error").textContent = "";
  byId("verdict").textContent = "";
  listRuns(byId("runs"), [], seek);
  setDownloads(false);
  byId("progress").hidden = false;
  byId("progress").removeAttribute("value");
  showStatus(song.url ? "Fetching and recognising…" : "Recognising…");
  const model = byId("model").value;
  try {
    for await (const [event, data] of streamTimeline(request(model), signal)) {
      if (event === "start") setClasses(data.classes);
      else if (event === "second") addSecond(data);
      else finish(data);
    }
  } catch (error) {
    if (mine !== song.abort || error.name === "AbortError") return; // another song, or model, has taken over
    showError(error);
    byId("song").hidden = song.seconds.length === 0; // the seconds that came before the error stay
    byId("progress").hidden = true;
  }
}

function request(model) {
  if (song.url) return JSON.stringify({ url: song.url, model });
  const form = new FormData();
  form.append("model", model);
  form.append("file", song.file, song.file.name);
  return form;
}

function setClasses(classes) {
  const { cursorS } = view;
  view.setClasses(classes); // which goes back to 0, though the sound may be playing already
  view.setCursor(cursorS);
}

function addSecond({ peaks, ...second }) {
  song.seconds[Math.round(second.start_s)] = second; // it may come again, when all of the song is known
  view.add([second]);
  if (!peaks) return;
  if (!song.decoded) waveform.addSecond(second.start_s, peaks);
  if (view.durationS) byId("progress").value = second.end_s / view.durationS;
  else waveform.setDuration(Number(slider.ariaValueMax)); // the axis grows with the seconds
}

function finish(summary) {
  song.summary = summary;
  setTitle(summary.title);
  setDuration(summary.duration_s);
  view.setSummary(summary);
  listRuns(byId("runs"), summary.runs, playFrom);
  showVerdict(summary);
  showStatus(`Complete, recognised by ${summary.model}.`);
  byId("progress").hidden = true;
  setDownloads(true);
  markRun();
}

function showVerdict({ overall, dominant, verdict, duration_s: durationS }) {
  const [, [second, secondShare]] = Object.entries(overall).sort((a, b) => b[1] - a[1]).concat([["", 0]]);
  const inWords = (name) => name.replaceAll("_", " ");
  const strong = document.createElement("strong");
  strong.textContent = verdict;
  const average = `on average over ${formatTime(durationS)}`;
  const rest = second ? `; next ${inWords(second)} with ${percent(secondShare)}` : "";
  if (overall[dominant] === undefined) { // silence is no class
    byId("verdict").replaceChildren("Nothing but ", strong, ` over ${formatTime(durationS)}.`);
    return;
  }
  byId("verdict").replaceChildren(
    ...(verdict.startsWith("unsure between ")
      ? ["Here it is ", strong, `: ${percent(overall[dominant])} and ${percent(secondShare)} ${average}.`]
      : [dominant === "not_music" ? "This is " : "Sounds like ", strong, `, with ${percent(overall[dominant])} ${average}${rest}.`]),
  );
}

// Playing -------------------------------------------------------------------------------------------------------------

function seek(second) {
  if (audio.src) audio.currentTime = second; // of a sound that is not there yet, where it will begin
  view.setCursor(second);
  waveform.setCursor(second);
  markRun();
}

function playFrom(second) {
  seek(second);
  if (audio.readyState > 0) play();
}

function play() {
  audio.play().catch(() => {}); // a pause, or another song, came first
}

let frame = 0; // the next one that is asked for: however many events begin to follow, there is one

function follow() {
  view.setCursor(audio.currentTime);
  waveform.setCursor(audio.currentTime);
  markRun();
  cancelAnimationFrame(frame);
  if (!audio.paused) frame = requestAnimationFrame(follow);
}

for (const event of ["play", "seeked", "pause"]) audio.addEventListener(event, follow);

audio.addEventListener("loadedmetadata", () => {
  if (Number.isFinite(audio.duration) && !song.summary) setDuration(audio.duration);
});

audio.addEventListener("error", () => {
  if (song?.file) showUnplayable("This browser cannot play this format; the timeline works all the same.");
});

byId("timeline").addEventListener("keydown", (event) => {
  if (event.key !== " " || audio.readyState === 0) return;
  event.preventDefault();
  if (audio.paused) play();
  else audio.pause();
});

function markRun() {
  for (const button of byId("runs").querySelectorAll("button")) button.removeAttribute("aria-current");
  const starts = [...byId("runs").querySelectorAll("button")];
  const current = starts.findLast((button) => Number(button.dataset.startS) <= view.cursorS);
  current?.setAttribute("aria-current", "true");
}

function showUnplayable(text) {
  audio.hidden = true;
  byId("unplayable").textContent = text;
  byId("unplayable").hidden = false;
}

// Saving --------------------------------------------------------------------------------------------------------------

for (const [format, label] of Object.entries(FORMATS)) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.format = format;
  button.textContent = label;
  button.addEventListener("click", () => save(format));
  byId("downloads").append(button);
}

async function save(format) {
  const { summary, seconds, file } = song; // another may be chosen meanwhile
  const hasSound = format === "html" && !audio.hidden;
  try {
    const page = await render({ ...summary, seconds }, format);
    const blob = hasSound ? await withSound(page, file) : page;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${summary.title || "timeline"}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    showStatus(`Saved as ${link.download}.`);
  } catch (error) {
    showError(error);
  }
}

// Showing -------------------------------------------------------------------------------------------------------------

function setTitle(title) {
  byId("title").textContent = title;
  document.title = `${title} – genreline`;
}

function setDuration(durationS) {
  view.setDuration(durationS);
  waveform.setDuration(durationS ?? 30);
}

function setDownloads(ready) {
  for (const button of byId("downloads").children) button.disabled = !ready;
}

function showStatus(text) {
  byId("status").textContent = text;
}

function showError(error) {
  if (!(error instanceof Problem)) console.error(error);
  showStatus("");
  byId("error").textContent = error instanceof Problem ? error.message : "something went wrong in this page; reload it";
}

setDownloads(false);
const ready = prepare().catch(showError);
